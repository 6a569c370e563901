import BlockHashing

/// Where a growing sequence stands: its last hash and the tokens behind it. A plain value, so a fork
/// is a copy. It hashes through the function that the server calls.
struct GrowingChain {
  /// Blocks that have a hash.
  private(set) var blocks = 0
  private var last: [UInt8] = []
  /// The tokens behind the hashed blocks, fewer than a block and its lookahead.
  private(set) var tail: [UInt32] = []

  /// Appends tokens and gives the hashes of the blocks that became full, in order.
  mutating func append(
    _ tokens: UnsafeBufferPointer<UInt32>, _ hasher: BlockHasher, _ extraKeys: ExtraKeys? = nil,
    emit: (ContentHash) -> Void
  ) {
    let size = hasher.algorithm.byteCount
    let most = (tail.count + tokens.count) / hasher.blockSize
    var made = [UInt8](repeating: 0, count: most * size)
    let hashed = last.withUnsafeBufferPointer { last in
      tail.withUnsafeBufferPointer { tail in
        hasher.hashFullBlocks(
          after: blocks == 0 ? nil : last.baseAddress, at: blocks * hasher.blockSize, tail: tail,
          appended: tokens, extraKeys: extraKeys?.bytes ?? .init(start: nil, count: 0), into: &made)
      }
    }
    made.removeLast(made.count - hashed * size)
    for start in stride(from: 0, to: made.count, by: size) {
      let hash = made[start..<start + size].withUnsafeBytes { ContentHash($0) }
      if let hash { emit(hash) }
      last = Array(made[start..<start + size])
    }
    blocks += hashed
    tail = Array((tail + tokens).dropFirst(hashed * hasher.blockSize))
  }
}
