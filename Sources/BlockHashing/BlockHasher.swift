/// Turns tokens into block hashes, byte for byte as vLLM does with `sha256_cbor` and `xxhash_cbor`
/// (`hash_block_tokens` and `get_request_block_hasher` of vLLM 0.33.0), so that hashes made here and
/// there name the same content. It owns the hash function's state and one buffer, and never
/// remembers a sequence: who asks keeps the chain. Never looks anything up, never sees a block id.
///
///     hash of block i = H(canonical CBOR of [hash of block i-1, [token, ...], extra keys])
///
/// The first block's parent is the seed's hash, H(CBOR of the seed as text). With lookahead, for
/// draft models, the extra keys become `[extra keys, token, ...]` with the L tokens behind the block,
/// and a block has no hash until those exist.
///
/// No memory is allocated per block, but for the buffer's growth. Not for two threads at once.
package final class BlockHasher {
  package let algorithm: BlockHashAlgorithm
  /// Tokens of a block.
  package let blockSize: Int
  /// Tokens behind a block that enter its hash.
  package let lookahead: Int
  /// What stands for the parent of the first block.
  package let seedHash: ContentHash
  private let function: HashFunction
  private var buffer = CBORBuffer()

  /// - Parameters:
  ///   - seed: nil = the algorithm's own. Has the place of vLLM's `PYTHONHASHSEED`.
  package init(
    _ algorithm: BlockHashAlgorithm, seed: String? = nil, blockSize: Int, lookahead: Int = 0
  ) throws(BlockHasherError) {
    precondition(blockSize > 0 && lookahead >= 0, "no block has no tokens")
    guard let text = seed ?? algorithm.defaultSeed else { throw .seedNeeded }
    self.algorithm = algorithm
    self.blockSize = blockSize
    self.lookahead = lookahead
    let function = HashFunction(algorithm)
    buffer.reset(reserving: CBORBuffer.headBytes + text.utf8.count)
    buffer.text(text)
    seedHash = function(buffer.bytes)
    self.function = function
  }

  /// The hashes of all blocks that are full once `appended` follows the tokens of `tail`, in order.
  ///
  /// The tail of the next call is what remains: `tail` and `appended` without their first
  /// `blockSize` tokens for each block hashed.
  ///
  /// - Parameters:
  ///   - parent: The hash of the last block that has one, `algorithm.byteCount` bytes; nil = none has.
  ///   - start: Tokens before `tail`: `blockSize` for each block that has a hash.
  ///   - tail: Tokens behind the hashed blocks.
  ///   - extraKeys: The `bytes` of an `ExtraKeys`; empty = none.
  ///   - hashes: Room for the hashes, one after the other.
  /// - Returns: How many blocks were hashed: one for each `blockSize` tokens that have `lookahead`
  ///   tokens behind them.
  package func hashFullBlocks(
    after parent: UnsafePointer<UInt8>?, at start: Int, tail: UnsafeBufferPointer<UInt32>,
    appended: UnsafeBufferPointer<UInt32>, extraKeys: UnsafeBufferPointer<UInt8>,
    into hashes: UnsafeMutablePointer<UInt8>
  ) -> Int {
    let size = algorithm.byteCount
    let known = parent.flatMap { ContentHash(UnsafeRawBufferPointer(start: $0, count: size)) }
    checkStart(known, start)
    let keys = extraKeys.isEmpty ? nil : ExtraKeysView(UnsafeRawBufferPointer(extraKeys))
    let run = TokenRun(tail, appended)
    var parent = known ?? seedHash
    var from = 0
    var place = UnsafeMutableRawPointer(hashes)
    while run.count - from >= blockSize + lookahead {
      parent = hash(parent, start + from, run, from, keys)
      parent.write(to: place, size)
      place += size
      from += blockSize
    }
    return from / blockSize
  }

  /// H of bytes as they are: what the hash function alone costs.
  package func digest(of bytes: UnsafeRawBufferPointer) -> ContentHash { function(bytes) }

  private func checkStart(_ parent: ContentHash?, _ start: Int) {
    precondition(
      start >= 0 && start % blockSize == 0 && (start == 0) == (parent == nil),
      "the first block alone has no parent")
  }

  /// Of the block of `run[from ..< from + blockSize]`, which begins at token `start` of its sequence.
  @inline(__always)
  private func hash(
    _ parent: ContentHash, _ start: Int, _ run: TokenRun, _ from: Int, _ extraKeys: ExtraKeysView?
  ) -> ContentHash {
    let end = from + blockSize
    buffer.reset(
      reserving: 6 * CBORBuffer.headBytes + algorithm.byteCount
        + CBORBuffer.tokenBytes * (blockSize + lookahead) + (extraKeys?.maximumBytes ?? 0))
    buffer.head(.array, 3 as UInt32)
    buffer.hash(parent, algorithm.byteCount)
    buffer.head(.array, UInt32(blockSize))
    run.write(to: &buffer, from, end)
    if lookahead > 0 { buffer.head(.array, UInt32(1 + lookahead)) }
    if let extraKeys {
      extraKeys.write(
        to: &buffer, block: start / blockSize, start, start + blockSize + lookahead)
    } else {
      buffer.null()
    }
    if lookahead > 0 { run.write(to: &buffer, end, end + lookahead) }
    return function(buffer.bytes)
  }
}

/// Tokens in two places that follow one another.
private struct TokenRun {
  private let first: UnsafeBufferPointer<UInt32>
  private let second: UnsafeBufferPointer<UInt32>

  @inline(__always)
  init(
    _ first: UnsafeBufferPointer<UInt32>,
    _ second: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0)
  ) {
    self.first = first
    self.second = second
  }

  var count: Int { first.count + second.count }

  @inline(__always)
  func write(to buffer: inout CBORBuffer, _ start: Int, _ end: Int) {
    let split = first.count
    if start < split { buffer.tokens(.init(rebasing: first[start..<min(end, split)])) }
    if end > split {
      buffer.tokens(.init(rebasing: second[max(start, split) - split..<end - split]))
    }
  }
}
