/// Runs of set bits in words, bit 0 of word 0 first; a run may go over words.
enum RunWords {
  /// Maximal runs: members whose lower neighbour is none. O(words).
  static func beginnings(in words: UnsafeBufferPointer<UInt64>) -> Int {
    var count = 0
    var carry: UInt64 = 0
    for word in words {
      count += (word & ~(word << 1 | carry)).nonzeroBitCount
      carry = word >> 63
    }
    return count
  }

  /// The length of each maximal run, in order. O(words + runs).
  @inline(__always)
  static func forEach(in words: UnsafeBufferPointer<UInt64>, _ body: (Int) -> Void) {
    forEachRun(in: words) { body($1) }
  }

  /// The place and the length of each maximal run, in order. O(words + runs).
  @inline(__always)
  static func forEachRun(
    in words: UnsafeBufferPointer<UInt64>, _ body: (_ start: Int, _ length: Int) -> Void
  ) {
    // Of the run that reaches the word at hand.
    var length = 0
    for (i, word) in words.enumerated() {
      if word == .max {
        length += 64
        continue
      }
      var rest = word
      var place = 0
      // What is left of the word is `rest`, from bit `place` on; above it nothing is set.
      while true {
        let ones = (~rest).trailingZeroBitCount
        place += ones
        length += ones
        rest = ones == 64 ? 0 : rest >> UInt64(ones)
        if place == 64 { break }
        if length > 0 { body(i << 6 + place - length, length) }
        length = 0
        if rest == 0 { break }
        let zeros = rest.trailingZeroBitCount
        place += zeros
        rest >>= UInt64(zeros)
      }
    }
    if length > 0 { body(words.count << 6 - length, length) }
  }

  /// Puts into `result` the members of `words` whose neighbour `distance` above is one too. False where
  /// there is none. O(words).
  static func keep(
    _ words: [UInt64], movedBy distance: Int, in result: inout [UInt64]
  ) -> Bool {
    let skip = distance >> 6
    let shift = UInt64(distance & 63)
    return words.withUnsafeBufferPointer { words in
      result.withUnsafeMutableBufferPointer { result -> Bool in
        guard let from = words.baseAddress, let to = result.baseAddress else { return false }
        let whole = max(0, words.count - skip)
        var any: UInt64 = 0
        // All but the last have a word above.
        var i = 0
        while i < whole &- 1 {
          let high = (from[i &+ skip &+ 1] &<< 1) &<< (63 &- shift)
          let both = from[i] & (from[i &+ skip] &>> shift | high)
          to[i] = both
          any |= both
          i &+= 1
        }
        if whole > 0 {
          let both = from[i] & (from[i &+ skip] &>> shift)
          to[i] = both
          any |= both
        }
        for i in whole..<words.count { to[i] = 0 }
        return any != 0
      }
    }
  }
}
