internal import BlockHashing
internal import KVBlocks

/// The hash function of one pool, as its configuration says: what makes its sequences' token ids
/// vLLM's block hashes.
final class PoolHasher: TokenHashing {
  /// Of each size class; one in a pool without.
  private let hashers: [BlockHasher]
  /// The same: to use one counts no references.
  private let unretained: [Unmanaged<BlockHasher>]

  /// nil in a pool that caches nothing, and where the algorithm needs a seed and there is none: a
  /// configuration that only a dump can have, for `withSeed` draws one.
  init?(_ configuration: PoolConfiguration) {
    guard configuration.cachesPrefixes else { return nil }
    let algorithm: BlockHashAlgorithm = configuration.hashBytes == 16 ? .xxhashCBOR : .sha256CBOR
    let seed = String(decoding: configuration.hashSeed, as: UTF8.self)
    let sizes =
      configuration.sizeClasses.isEmpty
      ? [configuration.blockSize] : configuration.sizeClasses.map(\.blockSize)
    do throws(BlockHasherError) {
      hashers = try sizes.map { (size) throws(BlockHasherError) in
        try BlockHasher(
          algorithm, seed: seed.isEmpty ? nil : seed, blockSize: Int(size),
          lookahead: Int(configuration.hashLookaheadTokens))
      }
      unretained = hashers.map { .passUnretained($0) }
    } catch {
      return nil
    }
  }

  func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int {
    unretained[Int(job.sizeClass)]._withUnsafeGuaranteedRef {
      $0.hashFullBlocks(
        after: job.parent, at: job.start, tail: job.tail, appended: job.appended,
        extraKeys: job.extraKeys, into: hashes)
    }
  }

  func keyBytes(
    _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
  ) -> UInt64 {
    let hasher = hashers[Int(sizeClass)]
    return ExtraKeysView(UnsafeRawBufferPointer(extraKeys)).bytesHashed(
      from: start, to: end, blockSize: hasher.blockSize, lookahead: hasher.lookahead)
  }

  func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool {
    ExtraKeysView(UnsafeRawBufferPointer(extraKeys)).isWellFormed
  }
}

extension PoolConfiguration {
  /// As a pool is made with it: an algorithm without a seed of its own gets one drawn, as in vLLM,
  /// that nobody can know.
  var withSeed: PoolConfiguration {
    guard cachesPrefixes, hashBytes == 16, hashSeed.isEmpty else { return self }
    var complete = self
    complete.hashSeed = (0..<4).flatMap { _ in
      Array(String(UInt64.random(in: .min ... .max), radix: 36).utf8)
    }
    complete.isHashSeedDrawn = true
    return complete
  }

  /// As it was asked for.
  var asked: PoolConfiguration {
    guard isHashSeedDrawn else { return self }
    var asked = self
    asked.hashSeed = []
    asked.isHashSeedDrawn = false
    return asked
  }
}
