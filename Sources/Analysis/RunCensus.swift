/// The maximal runs of adjacent members of a set, counted by length without visiting them one by one.
///
/// Let M(n) be the places at which n members in a row begin. M(1) is the set itself, and
/// M(a + b) = M(a) and M(a) moved down by b, for any b up to a. In M(n) every run of at least n keeps a
/// run of its own, shorter by n - 1, and all others are gone; so the beginnings of runs in M(n) count
/// the runs of at least n. Doubling n gives the histogram, and halving steps from the last doubling
/// that left anything give the largest.
///
/// About 2 log2(largest) passes over `count` / 64 words. A random set of a million blocks, half of
/// them members, has a quarter of a million runs; to visit each costs about four times as much.
package struct RunCensus: Equatable, Sendable {
  /// Maximal runs.
  package private(set) var count = 0
  /// Blocks in runs: the members of the set.
  package private(set) var blocks = 0
  /// Blocks of the longest run; 0 where there is none.
  package private(set) var largest = 0
  /// Runs of 1, 2-3, 4-7, 8-15 ... blocks. Ends with the bin of `largest`; empty where there is none.
  package private(set) var histogram: [Int] = []

  /// Blocks of an average run: `blocks` / `count`; 0 where there is none.
  package var mean: Double { count == 0 ? 0 : Double(blocks) / Double(count) }

  /// 1 - largest run / members: the share of what is there that one run cannot have. 0 when nothing is
  /// there, or all of it is one run; never 1, at most 1 - 1 / members.
  package var fragmentation: Double {
    blocks == 0 ? 0 : 1 - Double(largest) / Double(blocks)
  }

  package init() {}

  package init(of set: BlockSet) {
    blocks = set.population
    guard blocks > 0 else { return }
    // In `starts` the places at which `length` members in a row begin.
    var starts = set.words
    var longer = starts
    var length = 1
    var atLeast = [Self.beginnings(in: starts)]
    count = atLeast[0]
    while Self.keep(starts, movedBy: length, in: &longer) {
      swap(&starts, &longer)
      length *= 2
      atLeast.append(Self.beginnings(in: starts))
    }
    for (order, runs) in atLeast.enumerated() {
      histogram.append(runs - (order + 1 < atLeast.count ? atLeast[order + 1] : 0))
    }
    // Steps of half the length, a quarter ...: all of them together are less than a further doubling.
    var step = length / 2
    while step > 0 {
      if Self.keep(starts, movedBy: step, in: &longer) {
        swap(&starts, &longer)
        length += step
      }
      step /= 2
    }
    largest = length
  }

  /// The runs of both, as of two parts of a pool that no run joins.
  package mutating func add(_ other: RunCensus) {
    count += other.count
    blocks += other.blocks
    largest = max(largest, other.largest)
    for (order, runs) in other.histogram.enumerated() {
      if order == histogram.count { histogram.append(0) }
      histogram[order] += runs
    }
  }

  /// Runs of at least so many blocks of which one begins in each maximal run: what "would a contiguous
  /// request fit" asks is `fits(n)`, that is `n <= largest`.
  package func fits(_ wanted: Int) -> Bool { wanted <= largest }

  /// Members whose lower neighbour is none.
  private static func beginnings(in words: [UInt64]) -> Int {
    words.withUnsafeBufferPointer { words in
      var count = 0
      var carry: UInt64 = 0
      for word in words {
        count += (word & ~(word << 1 | carry)).nonzeroBitCount
        carry = word >> 63
      }
      return count
    }
  }

  /// Puts into `result` the members of `words` whose neighbour `distance` above is one too. False where
  /// there is none.
  private static func keep(
    _ words: [UInt64], movedBy distance: Int, in result: inout [UInt64]
  ) -> Bool {
    let skip = distance >> 6
    let shift = UInt64(distance & 63)
    var any: UInt64 = 0
    words.withUnsafeBufferPointer { words in
      result.withUnsafeMutableBufferPointer { result in
        let whole = max(0, words.count - skip)
        for i in 0..<whole {
          let low = words[i + skip] >> shift
          // A shift by 64, where `shift` is 0, gives 0.
          let high = i + skip + 1 < words.count ? words[i + skip + 1] << (64 - shift) : 0
          let both = words[i] & (low | high)
          result[i] = both
          any |= both
        }
        for i in whole..<words.count { result[i] = 0 }
      }
    }
    return any != 0
  }
}
