import KVBlocks

/// A hash function that pool and model share: FNV-1a over the words, in the first word of a hash whose
/// rest is 0, as `TestCommand` writes hashes. How hashes are chained is each one's own business.
func testHash(parent: UInt64, start: Int, tokens: [UInt32], keys: [UInt8]) -> UInt64 {
  var hash: UInt64 = 0xCBF2_9CE4_8422_2325
  func add(_ value: UInt64) { hash = (hash ^ value) &* 0x100_0000_01B3 }
  add(parent)
  add(UInt64(start))
  for token in tokens { add(UInt64(token)) }
  for key in keys { add(UInt64(key) + 256) }
  return hash
}

final class TestHasher: TokenHashing {
  private let sizes: [Int]
  private let ahead: Int
  private let hashBytes: Int

  init(_ configuration: PoolConfiguration) {
    let classes = configuration.sizeClasses.map { Int($0.blockSize) }
    sizes = classes.isEmpty ? [Int(configuration.blockSize)] : classes
    ahead = Int(configuration.hashLookaheadTokens)
    hashBytes = configuration.hashBytes
  }

  func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int {
    let size = sizes[Int(job.sizeClass)]
    precondition(job.start % size == 0 && (job.start == 0) == (job.parent == nil))
    let tokens = Array(job.tail) + Array(job.appended)
    let keys = Array(job.extraKeys)
    var parent = job.parent.map { UnsafeRawPointer($0).loadUnaligned(as: UInt64.self) } ?? 0
    var made = 0
    while (made + 1) * size + ahead <= tokens.count {
      parent = testHash(
        parent: parent, start: job.start + made * size,
        tokens: Array(tokens[made * size..<(made + 1) * size + ahead]), keys: keys)
      let place = UnsafeMutableRawPointer(hashes) + made * hashBytes
      place.initializeMemory(as: UInt8.self, repeating: 0, count: hashBytes)
      place.storeBytes(of: parent, as: UInt64.self)
      made += 1
    }
    return made
  }

  func keyBytes(
    _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
  ) -> UInt64 {
    UInt64((end - start) / sizes[Int(sizeClass)]) * UInt64(extraKeys.count)
  }

  func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool { true }
}
