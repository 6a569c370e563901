/// Turns token ids into block hashes; made by who knows how and given to the pool when it is made.
///
/// A pool hashes within its commands, because what is hashed depends on what the operations before
/// did: which of them were refused, which sequences they forked, rewound or freed. It still imports
/// nothing: it hands out words and gets bytes back. Whoever conforms computes a pure function of the
/// job, the same in every process, or histories could not be replayed.
///
/// Called once for each sequence in which a block becomes full, so that the call through a protocol
/// costs nothing beside the hash function.
package protocol TokenHashing: AnyObject {
  /// Writes the hashes of all blocks that `job` has tokens for, in order, one after the other.
  ///
  /// - Returns: How many: (tokens of the job - lookahead) / block size, rounded down.
  func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int

  /// Bytes of the extra keys that `hash` hashes, in all, for the blocks of the tokens
  /// `start..<end` of a sequence; both are multiples of the block size. A key counts for each block
  /// that it enters. O(items of the keys in that range). `sizeClass` as in `TokenHashJob`.
  func keyBytes(
    _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
  ) -> UInt64

  /// Whether the bytes are extra keys that `hash` takes; asked of bytes that come from a dump.
  func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool
}

/// Tokens behind the last block of a sequence that has a hash. The buffers are borrowed.
package struct TokenHashJob {
  /// The hash of the block before; nil = the first block is the sequence's first.
  package var parent: UnsafePointer<UInt8>?
  /// Tokens of the sequence before the first one here: a multiple of the block size.
  package var start: Int
  /// Tokens that the pool kept, and those that come with the command behind them.
  package var tail: UnsafeBufferPointer<UInt32>
  package var appended: UnsafeBufferPointer<UInt32>
  /// What else is hashed with the sequence's blocks; the pool never looks inside.
  package var extraKeys: UnsafeBufferPointer<UInt8>
  /// Index of the sequence's size class, which says how many tokens a block has; 0 in a pool without.
  package var sizeClass: UInt8
}
