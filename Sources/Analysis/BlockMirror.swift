internal import KVBlocks

/// A pool's blocks as they were at the last look: a mark a block, and a bit in each of two sets, of the
/// free blocks and of the available ones.
///
/// Before a look the blocks that may have changed since are read again (`settle`), as the pool's
/// `TouchedBlocks` name them: one that was taken and given back many times in between is read once.
/// O(blocks that changed + blocks / 64); O(blocks) to begin with a pool.
final class BlockMirror {
  /// A size class, or the pool without any: blocks between which there can be runs. Each begins with a
  /// word of its own in the sets, so that no run goes from one to the next.
  struct Part: Equatable, BitwiseCopyable {
    /// The id before its first block.
    let start: Int
    let blocks: Int
    let firstWord: Int
    let blockSize: UInt32
    /// Members of the two sets.
    var free = 0
    var available = 0
    /// Blocks in use, by who holds them: one sequence; several, or one that is left of them; one session,
    /// raw; nobody, the rest of a rounded run.
    var ofSequences: UInt32 = 0
    var ofSeveral: UInt32 = 0
    var raw: UInt32 = 0
    var rounding: UInt32 = 0

    var words: Int { (blocks + 63) / 64 }
  }

  private(set) var blocks = 0
  /// By id.
  private(set) var marks: UnsafeMutablePointer<UInt8>
  /// The parts without their counts.
  private(set) var shapes: [Part] = []
  /// Of each part the blocks by state and kind of holder (`place`).
  private var counts: UnsafeMutablePointer<UInt32>
  private var free: UnsafeMutablePointer<UInt64>
  private var available: UnsafeMutablePointer<UInt64>
  /// Whether the pool is to note what changes; else each look reads all of it, and somebody else may
  /// follow it.
  var follows = false
  /// What the pool notes for this; another pool has others.
  private var touched: TouchedBlocks?
  /// Those of the pool when it was read last; nil = it was not.
  private var revision: Revision?
  private var life: PoolLife?

  init() {
    marks = .allocate(capacity: 1)
    counts = .allocate(capacity: 1)
    free = .allocate(capacity: 1)
    available = .allocate(capacity: 1)
  }

  deinit { release() }

  private func release() {
    marks.deallocate()
    counts.deallocate()
    free.deallocate()
    available.deallocate()
  }

  /// Forgets what it knew, and reads every block of the pool.
  private func read(_ pool: KVPool) {
    if follows && (touched == nil || touched !== pool.touched) { touched = pool.followTouches() }
    touched?.clear()
    revision = pool.revision
    life = pool.life
    release()
    let configuration = pool.configuration
    blocks = Int(configuration.blocks)
    let classes = pool.classes()
    shapes = []
    var words = 0
    if classes.isEmpty {
      let part = Part(start: 0, blocks: blocks, firstWord: 0, blockSize: configuration.blockSize)
      shapes = [part]
      words = part.words
    }
    for one in classes {
      let part = Part(
        start: Int(one.firstBlock) - 1, blocks: Int(one.sizeClass.blocks), firstWord: words,
        blockSize: one.sizeClass.blockSize)
      shapes.append(part)
      words += part.words
    }
    counts = .allocate(capacity: shapes.count * Self.places)
    counts.initialize(repeating: 0, count: shapes.count * Self.places)
    marks = .allocate(capacity: blocks + 1)
    marks.initialize(repeating: 0, count: blocks + 1)
    pool.readMarks(into: marks)
    free = .allocate(capacity: words)
    free.initialize(repeating: 0, count: words)
    available = .allocate(capacity: words)
    available.initialize(repeating: 0, count: words)
    for (i, part) in shapes.enumerated() {
      for place in 0..<part.blocks {
        let mark = marks[part.start + 1 + place]
        counts[i * Self.places + Self.place(mark)] += 1
        let sets = UInt64(Self.sets(mark))
        free[part.firstWord + place >> 6] |= (sets & 1) << UInt64(place & 63)
        available[part.firstWord + place >> 6] |= (sets >> 1) << UInt64(place & 63)
      }
    }
  }

  // What a mark says is read from its bits, as `BlockMark` has them: a call into another module for each
  // would cost more than all that is done with it.

  private static let places = 64

  /// State and kind of holder in a number.
  @inline(__always)
  private static func place(_ mark: UInt8) -> Int { Int(mark & 7 | (mark >> 5) << 3) }

  /// The parts with their counts. O(parts).
  var parts: [Part] {
    shapes.indices.map { i in
      var part = shapes[i]
      let counts = counts + i * Self.places
      for holder in 0..<8 {
        func count(_ state: BlockState) -> UInt32 { counts[holder << 3 + Int(state.rawValue)] }
        part.free += Int(count(.free))
        part.available += Int(count(.free) + count(.cached) + count(.pending))
        let used = count(.active) + count(.shared)
        switch BlockMark.HolderKind(rawValue: UInt8(holder)) {
        case .sequence: part.ofSequences = used
        case .several: part.ofSeveral = used
        case .raw: part.raw = used
        case .rounding: part.rounding = used
        case .nobody, nil: break
        }
      }
      return part
    }
  }

  // MARK: Following

  /// The pool notes nothing for this any more.
  func stop(_ pool: KVPool) {
    if follows { pool.unfollowTouches() }
    follows = false
    touched = nil
  }

  /// What was known before a look.
  enum Settled {
    /// All but what has changed since.
    case same
    /// Nothing, because nobody followed the pool in between; it is the same one.
    case readAgain
    /// Nothing, because another pool has taken the place, or this one was made anew.
    case anew
  }

  /// Brings it up to date: to be called before a look.
  func settle(_ pool: KVPool) -> Settled {
    // Two pools may be at the same revision.
    if life !== pool.life {
      read(pool)
      return .anew
    }
    if !follows && revision == pool.revision { return .same }
    guard let touched, touched === pool.touched, !touched.isEverything else {
      read(pool)
      return .readAgain
    }
    if revision == pool.revision { return .same }
    revision = pool.revision
    readTouched(touched, pool)
    return .same
  }

  private func readTouched(_ touched: TouchedBlocks, _ pool: KVPool) {
    let words = touched.words
    withUnsafeTemporaryAllocation(of: BlockID.self, capacity: 64) { ids in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { new in
        guard let ids = ids.baseAddress, let new = new.baseAddress else { return }
        var index = 0
        for i in 0...blocks >> 6 where words[i] != 0 {
          var rest = words[i]
          words[i] = 0
          if i == 0 { rest &= ~1 }
          if i == blocks >> 6 { rest &= ~0 >> UInt64(63 - blocks & 63) }
          var count = 0
          while rest != 0 {
            ids[count] = BlockID(i << 6 + rest.trailingZeroBitCount)
            rest &= rest &- 1
            count += 1
          }
          pool.readMarks(of: UnsafeBufferPointer(start: ids, count: count), into: new)
          for k in 0..<count {
            while Int(ids[k]) > shapes[index].start + shapes[index].blocks { index += 1 }
            change(Int(ids[k]), to: new[k], index)
          }
        }
      }
    }
  }

  @inline(__always)
  private func change(_ id: Int, to mark: UInt8, _ index: Int) {
    let old = marks[id]
    if mark == old { return }
    marks[id] = mark
    let counts = counts + index * Self.places
    counts[Self.place(old)] &-= 1
    counts[Self.place(mark)] &+= 1
    let bits = UInt64(Self.sets(mark))
    let place = id &- 1 &- shapes[index].start
    let word = shapes[index].firstWord + place >> 6
    let shift = UInt64(place & 63)
    free[word] = free[word] & ~(1 << shift) | (bits & 1) << shift
    available[word] = available[word] & ~(1 << shift) | (bits >> 1) << shift
  }

  /// Of the free blocks, 1; of the available ones, 2. By state, two bits each.
  @inline(__always)
  private static func sets(_ mark: UInt8) -> UInt32 {
    // free 11, cached 10, active 00, shared 00, pinned 00, pending 10.
    UInt32(0b10_00_00_00_10_11) >> (UInt32(mark & 7) * 2) & 3
  }

  // MARK: Looking

  @inline(__always)
  func mark(_ id: Int) -> BlockMark { BlockMark(rawValue: marks[id]) }

  /// The free blocks of a part, the first at bit 0.
  func freeWords(_ part: Part) -> UnsafeBufferPointer<UInt64> {
    .init(start: free + part.firstWord, count: part.words)
  }

  /// The free and the cached ones.
  func availableWords(_ part: Part) -> UnsafeBufferPointer<UInt64> {
    .init(start: available + part.firstWord, count: part.words)
  }

  /// Whether a block of the part, from 1 after its start, is available.
  func isAvailable(_ place: Int, _ part: Part) -> Bool {
    place >= 0 && place < part.blocks
      && available[part.firstWord + place >> 6] >> UInt64(place & 63) & 1 == 1
  }

  /// Bytes that it takes.
  var memory: Int {
    blocks + 1 + shapes.reduce(0) { $0 + $1.words * 16 } + (touched?.wordCount ?? 0) * 8
  }
}
