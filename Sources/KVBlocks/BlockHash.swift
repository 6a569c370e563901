/// What a full block holds, as a hash over its tokens and over all tokens before them.
///
/// 32 or 16 bytes, kept as words; of a hash of 16 bytes the last two words are 0. Who makes the
/// hashes sees to it that equal hashes mean equal content: the domain only compares them.
package struct BlockHash: Equatable, BitwiseCopyable, Sendable {
  package var words: (UInt64, UInt64, UInt64, UInt64)

  package init(_ a: UInt64, _ b: UInt64, _ c: UInt64 = 0, _ d: UInt64 = 0) {
    words = (a, b, c, d)
  }

  /// From `byteCount` bytes, 32 or 16, at any alignment.
  @inline(__always)
  init(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
    let raw = UnsafeRawPointer(bytes)
    words = (
      raw.loadUnaligned(as: UInt64.self), raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
      byteCount == 16 ? 0 : raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
      byteCount == 16 ? 0 : raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
    )
  }

  @inline(__always)
  package static func == (a: BlockHash, b: BlockHash) -> Bool {
    a.words.0 == b.words.0 && a.words.1 == b.words.1 && a.words.2 == b.words.2
      && a.words.3 == b.words.3
  }

  /// 32 bits for an index.
  @inline(__always)
  func tag(_ group: UInt8, _ secret: MapSecret) -> UInt32 {
    let folded = fold(UInt64(group), secret)
    return UInt32(truncatingIfNeeded: folded ^ folded >> 32)
  }

  /// 64 bits for a map, of the hash and a number beside it. Clients may send hashes of their own
  /// making, so all words count, and the secret spreads them.
  @inline(__always)
  package func fold(_ number: UInt64, _ secret: MapSecret) -> UInt64 {
    let low = (words.0 ^ secret.a).multipliedFullWidth(by: words.1 ^ secret.b)
    let high = (words.2 ^ secret.b).multipliedFullWidth(by: words.3 ^ secret.a ^ number)
    let all = (low.high ^ low.low ^ secret.a).multipliedFullWidth(
      by: high.high ^ high.low ^ secret.b)
    return all.high ^ all.low
  }
}

extension Digest {
  mutating func add(_ hash: BlockHash) {
    add(hash.words.0, hash.words.1)
    add(hash.words.2, hash.words.3)
  }

  /// Hashes one after the other; a word at a time, where `add` takes a byte at a time.
  mutating func add(hashes bytes: UnsafeBufferPointer<UInt8>) {
    add(UInt64(bytes.count))
    let raw = UnsafeRawBufferPointer(bytes)
    var i = 0
    while i + 16 <= raw.count {
      add(
        raw.loadUnaligned(fromByteOffset: i, as: UInt64.self),
        raw.loadUnaligned(fromByteOffset: i + 8, as: UInt64.self))
      i += 16
    }
    while i < raw.count {
      add(UInt64(raw[i]))
      i += 1
    }
  }
}
