/// Where a growing sequence stands: its last hash and the tokens behind it. A plain value, so a fork
/// is a copy.
///
/// For those who keep chains one by one. Who keeps the tokens elsewhere uses
/// `BlockHasher.hashFullBlocks`.
package struct HashChain {
  /// Blocks that have a hash.
  package private(set) var blocks: Int
  /// The last block's hash; nil = no block has one.
  package private(set) var last: ContentHash?
  /// The tokens behind the hashed blocks, fewer than a block and its lookahead.
  package private(set) var tail: [UInt32]

  /// An empty sequence, or one that stood there when it was last seen.
  package init(blocks: Int = 0, last: ContentHash? = nil, tail: [UInt32] = []) {
    precondition((blocks == 0) == (last == nil), "blocks have a last hash")
    self.blocks = blocks
    self.last = last
    self.tail = tail
  }

  /// Appends tokens and gives the hashes of the blocks that became full, in order. `extraKeys` are
  /// the same in all calls for a sequence, as is the hasher.
  package mutating func append(
    _ tokens: UnsafeBufferPointer<UInt32>, _ hasher: BlockHasher, _ extraKeys: ExtraKeys? = nil,
    emit: (ContentHash) -> Void
  ) {
    var last = last
    let hashed = tail.withUnsafeBufferPointer { tail in
      hasher.hashFullBlocks(
        after: last, at: blocks * hasher.blockSize, tail: tail, appended: tokens,
        extraKeys: extraKeys
      ) {
        last = $0
        emit($0)
      }
    }
    self.last = last
    blocks += hashed
    let consumed = hashed * hasher.blockSize
    let consumedNew = max(0, consumed - tail.count)
    tail.removeFirst(min(consumed, tail.count))
    tail.append(contentsOf: tokens[consumedNew...])
  }
}
