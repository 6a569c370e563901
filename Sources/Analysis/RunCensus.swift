/// The maximal runs of adjacent members of a set, counted by length from words of bits.
///
/// Where there are few runs for each word, they are visited, and words that are full or empty are passed
/// over. Where there are many, none is: let M(n) be the places at which n members in a row begin. M(1) is
/// the set itself, and M(a + b) = M(a) and M(a) moved down by b, for any b up to a. In M(n) every run of
/// at least n keeps a run of its own, shorter by n - 1, and all others are gone; so the beginnings of runs
/// in M(n) count the runs of at least n. Doubling n gives the histogram, and halving steps from the last
/// doubling that left anything give the largest.
///
/// That takes about 2 log2(largest) passes over `count` / 64 words. A random set of a million blocks, half
/// of them members, has a quarter of a million runs; to visit each costs about four times as much.
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
    self = set.words.withUnsafeBufferPointer { RunCensus(of: $0, members: set.population) }
  }

  /// Of the `members` bits of `words` that are set, the first block at bit 0 of word 0.
  package init(of words: UnsafeBufferPointer<UInt64>, members: Int) {
    blocks = members
    guard members > 0 else { return }
    count = RunWords.beginnings(in: words)
    if count <= words.count { visit(words) } else { double(words) }
  }

  private mutating func visit(_ words: UnsafeBufferPointer<UInt64>) {
    var bins = [Int](repeating: 0, count: 64)
    RunWords.forEach(in: words) { length in
      bins[63 - length.leadingZeroBitCount] += 1
      largest = max(largest, length)
    }
    histogram = Array(bins.prefix(64 - largest.leadingZeroBitCount))
  }

  private mutating func double(_ words: UnsafeBufferPointer<UInt64>) {
    // In `starts` the places at which `length` members in a row begin.
    var starts = Array(words)
    var longer = starts
    var length = 1
    var atLeast = [count]
    while RunWords.keep(starts, movedBy: length, in: &longer) {
      swap(&starts, &longer)
      length *= 2
      atLeast.append(starts.withUnsafeBufferPointer { RunWords.beginnings(in: $0) })
    }
    for (order, runs) in atLeast.enumerated() {
      histogram.append(runs - (order + 1 < atLeast.count ? atLeast[order + 1] : 0))
    }
    // Steps of half the length, a quarter ...: all of them together are less than a further doubling.
    var step = length / 2
    while step > 0 {
      if RunWords.keep(starts, movedBy: step, in: &longer) {
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

  /// The lengths of the `most` largest of these runs, descending; of all, where there are fewer. `words`:
  /// the set that was counted.
  ///
  /// Few runs are visited. Of many the length of the last one asked for is found as the largest is, and
  /// only those that are longer, fewer than `most`, are visited.
  package func largestRuns(_ most: Int, of words: UnsafeBufferPointer<UInt64>) -> [UInt32] {
    precondition(most > 0, "asked for the largest of no runs")
    var lengths: [UInt32] = []
    if count <= max(words.count, most) {
      RunWords.forEach(in: words) { length in Self.insert(UInt32(length), into: &lengths, most) }
      return lengths
    }
    // The order of the last one asked for, and what it leaves of its bin.
    var order = histogram.count - 1
    var atLeast = histogram[order]
    while atLeast < most {
      order -= 1
      atLeast += histogram[order]
    }
    // The greatest `length` that at least `most` runs have.
    var starts = Array(words)
    var longer = starts
    var length = 1
    for _ in 0..<order {
      _ = RunWords.keep(starts, movedBy: length, in: &longer)
      swap(&starts, &longer)
      length *= 2
    }
    var step = length / 2
    while step > 0 {
      let isAny = RunWords.keep(starts, movedBy: step, in: &longer)
      if isAny && longer.withUnsafeBufferPointer({ RunWords.beginnings(in: $0) }) >= most {
        swap(&starts, &longer)
        length += step
      }
      step /= 2
    }
    if RunWords.keep(starts, movedBy: 1, in: &longer) {
      longer.withUnsafeBufferPointer {
        RunWords.forEach(in: $0) { Self.insert(UInt32($0 + length), into: &lengths, most) }
      }
    }
    while lengths.count < most { lengths.append(UInt32(length)) }
    return lengths
  }

  /// Into descending `lengths`, of which `most` are kept.
  package static func insert(_ length: UInt32, into lengths: inout [UInt32], _ most: Int) {
    if lengths.count == most, let last = lengths.last, last >= length { return }
    let place = lengths.firstIndex { $0 < length } ?? lengths.count
    lengths.insert(length, at: place)
    if lengths.count > most { lengths.removeLast() }
  }
}
