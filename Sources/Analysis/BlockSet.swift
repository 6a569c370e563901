/// A set of blocks of one pool, or of one size class of it: one bit a block in words of 64, block
/// `first` at bit 0 of word 0. Bits from `count` on are 0.
///
/// Read a word at a time: a sample must not cost a step for each block.
package struct BlockSet: Equatable, Sendable {
  package let count: Int
  package private(set) var words: [UInt64]
  /// Members. Kept, so that asking costs nothing.
  package private(set) var population = 0

  /// No member. O(`count` / 64).
  package init(count: Int) {
    precondition(count >= 0, "a set of fewer than no blocks")
    self.count = count
    words = Array(repeating: 0, count: (count + 63) / 64)
  }

  package func contains(_ i: Int) -> Bool { words[i >> 6] >> UInt64(i & 63) & 1 == 1 }

  /// Puts `i` in or takes it out. O(1).
  @inline(__always)
  package mutating func set(_ i: Int, to isMember: Bool) {
    precondition(i >= 0 && i < count, "block outside of the set")
    let bit = UInt64(1) << UInt64(i & 63)
    let old = words[i >> 6]
    let new = isMember ? old | bit : old & ~bit
    if new == old { return }
    words[i >> 6] = new
    population += isMember ? 1 : -1
  }

  /// Whether any of `places` is a member. O(`places` / 64).
  package func hasAny(in places: Range<Int>) -> Bool {
    if places.isEmpty { return false }
    let last = places.upperBound - 1
    for word in places.lowerBound >> 6...last >> 6 {
      var bits = words[word]
      if word == places.lowerBound >> 6 { bits &= .max << UInt64(places.lowerBound & 63) }
      if word == last >> 6 { bits &= .max >> UInt64(63 - last & 63) }
      if bits != 0 { return true }
    }
    return false
  }

  package mutating func removeAll() {
    for i in words.indices { words[i] = 0 }
    population = 0
  }
}
