internal import BlockMessages
package import Workloads

/// Writes `GetPoolRequest` and reads what `PoolInfo` says of hashes.
package enum PoolCodec {
  package static func request(pool: String) -> [UInt8] {
    var packer = MessagePacker()
    packer.poolRequest(call: CallFields(pool: pool))
    return Array(packer.bytes)
  }

  /// Nil when the bytes are no such message.
  package static func read(_ reply: UnsafeRawBufferPointer) -> PoolHashing? {
    do throws(DecodeFailure) {
      let config = try MessageDecoder().decode(PoolInfoMessage.self, from: reply).fields.config
      let xxhash: UInt32 = 2
      return PoolHashing(
        bytes: config.disablesPrefixCaching ? 0 : config.hash == xxhash ? 16 : 32,
        lookahead: config.hashLookaheadTokens)
    } catch {
      return nil
    }
  }
}
