/// What a full block holds, as a hash over its tokens, its extra keys and all blocks before it.
///
/// 32 or 16 bytes, as the algorithm says, kept as words in the order of the bytes; of a hash of 16
/// bytes the last two words are 0.
package struct ContentHash: Hashable, BitwiseCopyable, Sendable {
  package var words: (UInt64, UInt64, UInt64, UInt64)

  package init(_ a: UInt64, _ b: UInt64, _ c: UInt64 = 0, _ d: UInt64 = 0) {
    words = (a, b, c, d)
  }

  /// From exactly 32 or 16 bytes, at any alignment; nil = another number of bytes.
  package init?(_ bytes: UnsafeRawBufferPointer) {
    guard bytes.count == 32 || bytes.count == 16 else { return nil }
    words = (
      bytes.loadUnaligned(as: UInt64.self),
      bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      bytes.count == 16 ? 0 : bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
      bytes.count == 16 ? 0 : bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    )
  }

  /// Writes the first `byteCount` bytes, 32 or 16.
  @inline(__always)
  package func write(to target: UnsafeMutableRawPointer, _ byteCount: Int) {
    precondition(byteCount == 32 || byteCount == 16, "a hash has 32 or 16 bytes")
    withUnsafeBytes(of: words) {
      target.copyMemory(from: $0.baseAddress!, byteCount: byteCount)
    }
  }

  /// The number that vLLM's KV events carry for it when they carry numbers: the last 8 of its
  /// `byteCount` bytes, most significant first (`maybe_convert_block_hash`).
  package func eventNumber(_ byteCount: Int) -> UInt64 {
    UInt64(bigEndian: byteCount == 16 ? words.1 : words.3)
  }

  package static func == (a: ContentHash, b: ContentHash) -> Bool { a.words == b.words }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}
