import Analysis
import TestSupport
import Testing

@Suite("runs of adjacent blocks are counted from words of bits")
struct RunCensusTests {
  private func set(_ members: some Sequence<Int>, of count: Int) -> BlockSet {
    var set = BlockSet(count: count)
    for member in members { set.set(member, to: true) }
    return set
  }

  /// Visits each block: another way than the one under test.
  private func count(_ set: BlockSet) -> (count: Int, largest: Int, histogram: [Int]) {
    var lengths: [Int] = []
    var length = 0
    for i in 0...set.count {
      if i < set.count && set.contains(i) {
        length += 1
      } else if length > 0 {
        lengths.append(length)
        length = 0
      }
    }
    var histogram: [Int] = []
    for length in lengths {
      var order = 0
      var rest = length / 2
      while rest > 0 {
        order += 1
        rest /= 2
      }
      while histogram.count <= order { histogram.append(0) }
      histogram[order] += 1
    }
    return (lengths.count, lengths.max() ?? 0, histogram)
  }

  @Test("a checkerboard of 100 blocks has 50 runs of one, and 98 % of it is out of one run's reach")
  func checkerboard() {
    let census = RunCensus(of: set(stride(from: 0, to: 100, by: 2), of: 100))
    #expect(census.count == 50)
    #expect(census.largest == 1)
    #expect(census.mean == 1)
    #expect(census.histogram == [50])
    #expect(abs(census.fragmentation - 0.98) < 1e-12)
  }

  @Test("evens below 50 taken of 100: 24 single blocks and a run of 51, a ratio of 0.32")
  func lowerEvens() {
    // 0, 2 ... 48 are taken; 1, 3 ... 47 are single, and 49 ... 99 is the run.
    let free = (0..<100).filter { $0 > 48 || $0 % 2 == 1 }
    let census = RunCensus(of: set(free, of: 100))
    #expect(census.count == 25)
    #expect(census.blocks == 75)
    #expect(census.largest == 51)
    #expect(census.histogram == [24, 0, 0, 0, 0, 1])
    #expect(abs(census.fragmentation - 0.32) < 1e-12)
    #expect(census.fits(51) && !census.fits(52))
  }

  @Test("a whole pool is one run, and nothing of it is out of reach")
  func whole() {
    for count in [1, 63, 64, 65, 127, 128, 4_096, 1 << 20, 1_000_003] {
      let census = RunCensus(of: set(0..<count, of: count))
      #expect(census.count == 1)
      #expect(census.largest == count)
      #expect(census.fragmentation == 0)
      #expect(census.histogram.last == 1)
    }
  }

  @Test("an empty set has no runs")
  func empty() {
    let census = RunCensus(of: BlockSet(count: 1_000))
    #expect(census == RunCensus())
    #expect(census.fragmentation == 0 && census.mean == 0)
  }

  @Test("runs across the ends of words are one run each")
  func acrossWords() {
    let census = RunCensus(of: set(Array(60..<70) + Array(126..<260), of: 300))
    #expect(census.count == 2)
    #expect(census.largest == 134)
    #expect(census.histogram == [0, 0, 0, 1, 0, 0, 0, 1])
  }

  @Test("random sets of random density agree with a walk over every block", arguments: 0..<40)
  func random(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<25 {
      let size = Int.random(in: 1...700, using: &random)
      var set = BlockSet(count: size)
      // Long runs as well as single blocks: each stretch has a density of its own.
      var i = 0
      while i < size {
        let density = [0.02, 0.5, 0.98][Int.random(in: 0..<3, using: &random)]
        for _ in 0..<Int.random(in: 1...200, using: &random) where i < size {
          set.set(i, to: Double.random(in: 0..<1, using: &random) < density)
          i += 1
        }
      }
      let census = RunCensus(of: set)
      let expected = count(set)
      #expect(census.count == expected.count)
      #expect(census.largest == expected.largest)
      #expect(census.histogram == expected.histogram)
      #expect(census.blocks == (0..<size).count { set.contains($0) })
    }
  }

  @Test("the runs of two parts add up")
  func parts() {
    var sum = RunCensus(of: set(0..<3, of: 10))
    sum.add(RunCensus(of: set([0, 2, 3, 4, 5], of: 6)))
    #expect(sum.count == 3)
    #expect(sum.blocks == 8)
    #expect(sum.largest == 4)
    #expect(sum.histogram == [1, 1, 1])
  }
}
