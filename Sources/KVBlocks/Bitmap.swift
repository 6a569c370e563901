/// A set of whole numbers below `count`, one bit each, with a bit for each word above it, and one for
/// each word of those, up to a single word: the first member at or after a number is found in as many
/// steps as there are levels, at most five.
///
/// A handle to memory that its owner gives back with `deallocate`.
struct Bitmap: BitwiseCopyable {
  let count: Int
  private let depth: Int
  /// Word 0 of each level, the members themselves first.
  private let levels: UnsafeMutablePointer<UnsafeMutablePointer<UInt64>>

  init(count: Int) {
    self.count = count
    var sizes = [max(1, (count + 63) / 64)]
    while let last = sizes.last, last > 1 { sizes.append((last + 63) / 64) }
    depth = sizes.count
    levels = .allocate(capacity: depth)
    for level in 0..<depth {
      let words = UnsafeMutablePointer<UInt64>.allocate(capacity: sizes[level])
      words.initialize(repeating: 0, count: sizes[level])
      (levels + level).initialize(to: words)
    }
  }

  func deallocate() {
    for level in 0..<depth { levels[level].deallocate() }
    levels.deallocate()
  }

  private func size(_ level: Int) -> Int {
    var size = max(1, (count + 63) / 64)
    for _ in 0..<level { size = (size + 63) / 64 }
    return size
  }

  /// Of a set of this size. About `count / 8`.
  var memory: Int { (0..<depth).reduce(0) { $0 + size($1) * 8 } }

  func removeAll() {
    for level in 0..<depth { levels[level].update(repeating: 0, count: size(level)) }
  }

  func insertAll() {
    for i in 0..<count { insert(i) }
  }

  func contains(_ i: Int) -> Bool { levels[0][i >> 6] >> UInt64(i & 63) & 1 == 1 }

  func insert(_ i: Int) {
    var i = i
    for level in 0..<depth {
      let word = levels[level] + i >> 6
      let old = word.pointee
      word.pointee = old | 1 << UInt64(i & 63)
      if old != 0 { return }
      i >>= 6
    }
  }

  func remove(_ i: Int) {
    var i = i
    for level in 0..<depth {
      let word = levels[level] + i >> 6
      word.pointee &= ~(1 << UInt64(i & 63))
      if word.pointee != 0 { return }
      i >>= 6
    }
  }

  /// The first member at or after `start`; nil where there is none. O(levels).
  func first(from start: Int) -> Int? {
    var i = start
    var level = 0
    while i < count {
      let size = size(level)
      let word = i >> 6
      if word >= size { return nil }
      let rest = levels[level][word] >> UInt64(i & 63)
      if rest != 0 {
        i += rest.trailingZeroBitCount
        while level > 0 {
          level -= 1
          i = i << 6 + levels[level][i].trailingZeroBitCount
        }
        return i
      }
      level += 1
      if level == depth { return nil }
      i = word + 1
    }
    return nil
  }

  /// The first number at or after `start` that is no member; `count` where all are. A word at a time.
  func firstGap(from start: Int) -> Int {
    if start >= count { return count }
    let words = levels[0]
    var word = start >> 6
    // What shifts in reads as members: a run that fills the word goes on behind it.
    let rest = ~words[word] >> UInt64(start & 63)
    if rest != 0 { return min(start + rest.trailingZeroBitCount, count) }
    word += 1
    while word << 6 < count {
      if words[word] != .max { return min(word << 6 + (~words[word]).trailingZeroBitCount, count) }
      word += 1
    }
    return count
  }

  /// The first member of the run that a member belongs to. A word at a time.
  func startOfRun(around i: Int) -> Int {
    let words = levels[0]
    var word = i >> 6
    let rest = ~(words[word] << UInt64(63 - i & 63))
    if rest.leadingZeroBitCount <= i & 63 { return i + 1 - rest.leadingZeroBitCount }
    while word > 0 {
      word -= 1
      let gaps = ~words[word]
      if gaps != 0 { return word << 6 + 64 - gaps.leadingZeroBitCount }
    }
    return 0
  }

  // MARK: Runs of adjacent members

  /// The first run at or after `start`; nil where there is none.
  func run(from start: Int) -> Range<Int>? {
    guard let first = first(from: start) else { return nil }
    return first..<firstGap(from: first)
  }

  /// The start of the lowest run of at least `length`. O(runs and words up to it), which are added to
  /// `searched`.
  func lowestRun(of length: Int, _ searched: inout UInt64) -> Int? {
    var place = 0
    while let run = run(from: place) {
      searched += Self.cost(of: run)
      if run.count >= length { return run.lowerBound }
      place = run.upperBound
    }
    return nil
  }

  /// The start of the lowest run of this length that begins at or after `start`, which is not within a
  /// run. Costs the same.
  func lowestRun(ofJust length: Int, from start: Int, _ searched: inout UInt64) -> Int? {
    var place = start
    while let run = run(from: place) {
      searched += Self.cost(of: run)
      if run.count == length { return run.lowerBound }
      place = run.upperBound
    }
    return nil
  }

  /// The start of the smallest run of at least `length`, the lowest on a tie. O(runs + words), and less
  /// where one fits exactly; what it passed is added to `searched`.
  func smallestRun(of length: Int, _ searched: inout UInt64) -> Int? {
    var best: Range<Int>?
    var place = 0
    while let run = run(from: place) {
      searched += Self.cost(of: run)
      if run.count == length { return run.lowerBound }
      if run.count > length && run.count < best?.count ?? .max { best = run }
      place = run.upperBound
    }
    return best?.lowerBound
  }

  private static func cost(of run: Range<Int>) -> UInt64 { 1 + UInt64(run.count / 64) }
}
