internal import KVBlocks

/// A pool's blocks as its change log tells of them: a mark a block, and a bit in each of two sets, of the
/// free blocks and of the available ones.
///
/// A block is read where the log names it, right after the command that touched its record, and at no
/// other time. With the first content that is stored it also keeps which content came before each, in 8
/// bytes a block. O(1) for a block that is named; O(blocks) to begin with a pool.
final class BlockMirror {
  /// A size class, or the pool without any: blocks between which there can be runs. Each begins with a
  /// word of its own in the sets, so that no run goes from one to the next.
  struct Part: BitwiseCopyable {
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

    func isSame(as other: Part) -> Bool {
      start == other.start && blocks == other.blocks && free == other.free
        && available == other.available && ofSequences == other.ofSequences
        && ofSeveral == other.ofSeveral && raw == other.raw && rounding == other.rounding
    }
  }

  private(set) var blocks = 0
  /// By id.
  private(set) var marks: UnsafeMutablePointer<UInt8>
  private(set) var parts: UnsafeMutableBufferPointer<Part>
  private var free: UnsafeMutablePointer<UInt64>
  private var available: UnsafeMutablePointer<UInt64>
  /// By id: the first word of the hash before that of its content; 0 = none, or none that is known:
  /// nobody told of what was stored before this began.
  private(set) var parents: UnsafeMutablePointer<UInt64>?

  init(_ pool: KVPool) {
    marks = .allocate(capacity: 1)
    parts = .allocate(capacity: 1)
    free = .allocate(capacity: 1)
    available = .allocate(capacity: 1)
    parts.initialize(repeating: Part(start: 0, blocks: 0, firstWord: 0, blockSize: 1))
    read(pool)
  }

  deinit { release() }

  private func release() {
    marks.deallocate()
    parts.deallocate()
    free.deallocate()
    available.deallocate()
    parents?.deallocate()
  }

  /// Forgets what it knew, and reads every block of the pool.
  func read(_ pool: KVPool) {
    release()
    parents = nil
    let configuration = pool.configuration
    blocks = Int(configuration.blocks)
    let classes = pool.classes()
    parts = .allocate(capacity: max(classes.count, 1))
    var words = 0
    if classes.isEmpty {
      let part = Part(start: 0, blocks: blocks, firstWord: 0, blockSize: configuration.blockSize)
      parts.initialize(repeating: part)
      words = part.words
    }
    for (i, one) in classes.enumerated() {
      let part = Part(
        start: Int(one.firstBlock) - 1, blocks: Int(one.sizeClass.blocks), firstWord: words,
        blockSize: one.sizeClass.blockSize)
      parts.initializeElement(at: i, to: part)
      words += part.words
    }
    marks = .allocate(capacity: blocks + 1)
    marks.initialize(repeating: Self.unknown, count: blocks + 1)
    free = .allocate(capacity: words)
    free.initialize(repeating: 0, count: words)
    available = .allocate(capacity: words)
    available.initialize(repeating: 0, count: words)
    for i in parts.indices {
      let part = parts[i]
      for id in part.start + 1...part.start + part.blocks { look(BlockID(id), i, pool) }
    }
  }

  /// A mark that no block has: of no part, of neither set.
  private static let unknown: UInt8 = 6

  // MARK: Following

  /// What a command did. False where nothing that was known holds: `read` the pool.
  func follow(_ pool: KVPool, _ log: ChangeLog) -> Bool {
    for entry in log.entries.elements {
      if entry.kind == .cleared && entry.cause == .pool { return false }
      if entry.tier != .device { continue }
      for id in log.blocks(of: entry) { look(id, Int(entry.sizeClass), pool) }
      if entry.kind == .stored {
        store(log, entry)
      } else if entry.kind == .moved && entry.cause == .defragment, let parents {
        for copy in log.copies(of: entry) {
          parents[Int(copy.target)] = parents[Int(copy.source)]
        }
      }
    }
    return true
  }

  @inline(__always)
  private func look(_ id: BlockID, _ part: Int, _ pool: KVPool) {
    let new = pool.mark(of: id).rawValue
    let old = marks[Int(id)]
    if new == old { return }
    marks[Int(id)] = new
    parts[part].change(from: BlockMark(rawValue: old), to: BlockMark(rawValue: new))
    let bits = Self.sets(new)
    if bits == Self.sets(old) { return }
    let place = Int(id) - 1 - parts[part].start
    let word = parts[part].firstWord + place >> 6
    let bit = UInt64(1) << UInt64(place & 63)
    free[word] = bits & 1 != 0 ? free[word] | bit : free[word] & ~bit
    available[word] = bits & 2 != 0 ? available[word] | bit : available[word] & ~bit
  }

  /// Of the free blocks, 1; of the available ones, 2. By state, two bits each.
  private static func sets(_ mark: UInt8) -> UInt32 {
    // free 11, cached 10, active 00, shared 00, pinned 00, pending 10, unknown 00.
    UInt32(0b00_10_00_00_00_10_11) >> (UInt32(mark & 7) * 2) & 3
  }

  private func store(_ log: ChangeLog, _ entry: ChangeLog.Entry) {
    let parents = parents ?? makeParents()
    let contents = log.contents(of: entry)
    var before = log.parent(of: entry)?.words.0 ?? 0
    for (id, content) in zip(log.blocks(of: entry), contents) {
      parents[Int(id)] = before
      before = content.hash.words.0
    }
  }

  @inline(never)
  private func makeParents() -> UnsafeMutablePointer<UInt64> {
    let made = UnsafeMutablePointer<UInt64>.allocate(capacity: blocks + 1)
    made.initialize(repeating: 0, count: blocks + 1)
    parents = made
    return made
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
    blocks + 1 + parts.reduce(0) { $0 + $1.words * 16 } + (parents == nil ? 0 : (blocks + 1) * 8)
  }
}

extension BlockMirror.Part {
  @inline(__always)
  fileprivate mutating func change(from old: BlockMark, to new: BlockMark) {
    count(old, by: -1)
    count(new, by: 1)
  }

  @inline(__always)
  private mutating func count(_ mark: BlockMark, by step: Int32) {
    switch mark.rawValue & 7 {
    case BlockState.free.rawValue:
      free += Int(step)
      available += Int(step)
    case BlockState.cached.rawValue, BlockState.pending.rawValue: available += Int(step)
    case BlockState.active.rawValue, BlockState.shared.rawValue:
      let change = UInt32(bitPattern: step)
      switch mark.holder {
      case .sequence: ofSequences &+= change
      case .several: ofSeveral &+= change
      case .raw: raw &+= change
      case .rounding: rounding &+= change
      case .nobody: break
      }
    default: break
    }
  }
}
