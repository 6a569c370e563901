internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// How large a pool is to be, as a person says it at start-up; 0 = not said.
package struct PoolSize: Equatable, Sendable {
  package var blocks: UInt32
  /// Tokens.
  package var blockSize: UInt32
  /// Bytes, instead of blocks; needs the four numbers of the geometry.
  package var kvBytes: UInt64 = 0
  package var memoryUtilization: Double = 0
  package var layers: UInt32 = 0
  package var kvHeads: UInt32 = 0
  package var headSize: UInt32 = 0
  package var dtypeBytes: UInt32 = 0
  package var hostBlocks: UInt32
  /// An index of `strategies`.
  package var strategy = 0
  package var maxModelTokens: UInt32 = 0
  package var cachesPrefixes = true
  package var keepsTokens = false

  package init(blocks: UInt32, blockSize: UInt32, hostBlocks: UInt32 = 0) {
    self.blocks = blocks
    self.blockSize = blockSize
    self.hostBlocks = hostBlocks
  }
}

extension PoolRegistry {
  /// Adds a pool at start-up.
  ///
  /// - Returns: Why it cannot be added, in the words of the command line; nil when it was.
  package func add(name: String, _ size: PoolSize) -> String? {
    var fields = PoolConfigFields(blocks: size.blocks, blockSize: size.blockSize)
    fields.hostBlocks = size.hostBlocks
    fields.strategy = UInt32(size.strategy + 1)
    fields.maxModelTokens = size.maxModelTokens
    fields.disablesPrefixCaching = !size.cachesPrefixes
    fields.keepsTokens = size.keepsTokens
    fields.kvBytes = size.kvBytes
    fields.memoryUtilization = size.memoryUtilization
    if (size.layers | size.kvHeads | size.headSize | size.dtypeBytes) != 0 {
      fields.geometry = KVGeometryFields(
        layers: size.layers, kvHeads: size.kvHeads, headSize: size.headSize,
        dtypeBytes: size.dtypeBytes)
    }
    do throws(CallFailure) {
      return add(name: name, try PoolConfiguration(fields))
    } catch {
      return Self.words(error.status.message)
    }
  }

  /// The fields of the contract as the keys of the command line, and its values as theirs.
  private static func words(_ message: String) -> String {
    let message = message.replacing(
      "config.disable_prefix_caching must be true", with: "prefix-caching must be off")
    return message.split(separator: " ").map { word in
      for prefix in ["config.geometry.", "config."] where word.hasPrefix(prefix) {
        return String(word.dropFirst(prefix.count).map { $0 == "_" ? "-" : $0 })
      }
      if word.hasPrefix("STRATEGY_") {
        return String(word.dropFirst(9).lowercased().map { $0 == "_" ? "-" : $0 })
      }
      return String(word)
    }.joined(separator: " ")
  }
}

extension HostedPool {
  /// What an operator wants to know of a pool when it begins, as a log's fields.
  package var sizes: [(name: String, value: String)] {
    let configuration = pool.configuration
    var fields = [
      ("blocks", "\(configuration.blocks)"), ("block_size", "\(configuration.blockSize)"),
    ]
    if configuration.hostBlocks > 0 {
      fields.append(("host_blocks", "\(configuration.hostBlocks)"))
    }
    if configuration.strategy != .freeQueue {
      fields.append(("strategy", PoolSize.strategies[Int(configuration.strategy.rawValue) - 1]))
    }
    if configuration.bytesPerBlock > 0 {
      fields.append(("bytes_per_block", "\(configuration.bytesPerBlock)"))
    }
    return fields
  }
}
