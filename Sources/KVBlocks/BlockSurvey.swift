/// What each block is to a session that would move blocks: read once, then only its kinds are looked at.
///
/// A byte a block; 4 more for its duration where tables share blocks.
struct BlockSurvey: ~Copyable {
  enum Kind: Int8 {
    /// Available: a target.
    case free, cached
    /// In use, and every reference is of a running sequence of the session.
    case movable
    /// Anything else: raw, of another session, pinned, an end of a copy under way, in a reserved run.
    case fixed
    /// Taken with a rounded run beyond what was asked for: comes back with the last of that.
    case rest
    /// Shared, and it is not known yet who with.
    case shared
  }

  /// Of the size class at hand, or all.
  let ids: ClosedRange<Int>
  /// Raw values of `Kind`; the negative of what a block is where it is looked at as given back
  /// (`Release`).
  let kinds: UnsafeMutablePointer<Int8>
  private let blocks: BlockPool
  /// Of rounded runs, by their last block: blocks that moved out.
  private var moved: [BlockID: UInt32] = [:]

  /// O(blocks), and the session's table entries where anything is shared.
  init(_ pool: KVPool, of owner: UInt32) {
    blocks = pool.blocks
    let records = pool.blocks.records
    ids = pool.ids
    kinds = .allocate(capacity: ids.upperBound + 1)
    kinds.initialize(repeating: Kind.fixed.rawValue, count: ids.upperBound + 1)
    let isReserved = pool.configuration.strategy.reservesAtAdmission
    var shared = 0
    for id in ids {
      let record = records + id
      var kind = Kind.fixed
      if record.pointee.pins > 0 {
        // Also the ends of copies under way.
      } else if record.pointee.refCount == 0 {
        kind = record.pointee.twin == 0 ? .free : .cached
      } else if record.pointee.holder == .shared {
        kind = .shared
        shared += 1
      } else if record.pointee.holder == .rounding {
        kind = .rest
      } else if record.pointee.holder.isSequence {
        let sequence = pool.sequences.slots + Int(record.pointee.holder.slot)
        if sequence.pointee.session == owner && !isReserved { kind = .movable }
      }
      kinds[id] = kind.rawValue
    }
    if shared > 0 { resolve(pool, owner) }
  }

  deinit { kinds.deallocate() }

  /// Of the shared blocks those move of which the session's tables have every reference.
  private func resolve(_ pool: KVPool, _ owner: UInt32) {
    let references = UnsafeMutablePointer<UInt32>.allocate(capacity: ids.upperBound + 1)
    defer { references.deallocate() }
    references.initialize(repeating: 0, count: ids.upperBound + 1)
    pool.forEachRunning(of: owner) { slot in
      let sequence = pool.sequences.slots[Int(slot)]
      pool.run.work += 1
      if sequence.sizeClass != pool.run.sizeClass { return }
      pool.run.work += UInt64(sequence.blockCount)
      for block in sequence.blocks { references[Int(block)] += 1 }
    }
    for id in ids where kinds[id] == Kind.shared.rawValue {
      let isOurs = references[id] == pool.blocks.records[id].refCount
      kinds[id] = (isOurs ? Kind.movable : .fixed).rawValue
    }
  }

  @inline(__always)
  func isAvailable(_ id: Int) -> Bool { kinds[id] <= Kind.cached.rawValue }
  @inline(__always)
  func isMovable(_ id: Int) -> Bool { kinds[id] == Kind.movable.rawValue }
  @inline(__always)
  func isFixed(_ id: Int) -> Bool { kinds[id] >= Kind.fixed.rawValue }

  /// As it will be once a move is made: content goes along, so the source is free without any. With
  /// the last block of a rounded run its rest is, too.
  mutating func move(_ source: BlockID, to target: BlockID) {
    kinds[Int(source)] = Kind.free.rawValue
    kinds[Int(target)] = Kind.movable.rawValue
    guard let last = blocks.lastOfRun(source) else { return }
    moved[last, default: 0] += 1
    if moved[last] != blocks.records[Int(last)].previous { return }
    for id in blocks.restOfRun(endingAt: last) { kinds[Int(id)] = Kind.free.rawValue }
  }

  /// The longest run of available blocks, and of those without content. O(blocks).
  func longestRuns() -> (available: UInt32, free: UInt32) {
    var longest: (available: UInt32, free: UInt32) = (0, 0)
    var available: UInt32 = 0
    var free: UInt32 = 0
    for id in ids {
      available = isAvailable(id) ? available + 1 : 0
      free = kinds[id] == Kind.free.rawValue ? free + 1 : 0
      longest.available = max(longest.available, available)
      longest.free = max(longest.free, free)
    }
    return longest
  }

  // MARK: Windows

  /// Adjacent blocks that moves can make available, and how many of them have to move.
  struct Window: BitwiseCopyable {
    var first: Int
    var count = 0
    var moves = 0

    var ids: Range<Int> { first..<first + count }
  }

  /// The longest window that at most so many moves clear, with `available` blocks to move to: it
  /// has no fixed block, and it is no longer than there are available blocks, because each block that
  /// leaves it needs one outside. Of the longest the one with the fewest moves, of those the highest.
  ///
  /// Both conditions hold for every part of a window that they hold for, so the longest window that
  /// ends at a block begins no earlier than the one that ends before it. O(blocks).
  func longestWindow(atMost budget: Int, available: Int) -> Window {
    var best = Window(first: ids.lowerBound)
    var window = best
    for id in ids {
      if isFixed(id) {
        window = Window(first: id + 1)
        continue
      }
      window.count += 1
      if isMovable(id) { window.moves += 1 }
      while window.count > available || window.moves > budget {
        if isMovable(window.first) { window.moves -= 1 }
        window.first += 1
        window.count -= 1
      }
      if window.count > best.count || window.count == best.count && window.moves <= best.moves {
        best = window
      }
    }
    return best
  }

  /// Every window for such a run, from the lowest in `places`, in which nothing is fixed: how many
  /// moves clear it, for which there is room outside. O(blocks of the places and of a run).
  @inline(__always)
  func forEachWindow(
    for run: RunShape, in places: ClosedRange<Int>, available: Int, _ body: (Window) -> Void
  ) {
    var window = Window(first: places.lowerBound)
    var fixed = 0
    var here = 0
    func count(_ id: Int, _ change: Int) {
      if isAvailable(id) {
        here += change
      } else if isMovable(id) {
        window.moves += change
      } else if kinds[id] != Kind.rest.rawValue || !run.has(restOf: blocks.orderOfRun(BlockID(id)))
      {
        fixed += change
      }
    }
    for id in places.lowerBound..<places.upperBound + run.count {
      count(id, 1)
      window.count += 1
      if window.count < run.count { continue }
      if fixed == 0 && window.moves + here <= available && run.mayBegin(at: window.first) {
        body(window)
      }
      count(window.first, -1)
      window.first += 1
      window.count -= 1
    }
  }

  /// The window for such a run that the fewest moves clear, of those the highest; nil where each has a
  /// fixed block or there is no room for what is in it. O(blocks).
  func cheapestWindow(for run: RunShape, available: Int) -> Window? {
    guard let places = run.places(in: ids) else { return nil }
    var best: Window?
    forEachWindow(for: run, in: places, available: available) { window in
      if window.moves <= best?.moves ?? .max { best = window }
    }
    return best
  }

  /// The longest run that an allocation can have once at most so many moves are made, with the fewest
  /// of them. O(blocks), times log(blocks) where runs begin at multiples of their size.
  func longestPlace(atMost budget: Int, available: Int) -> Window {
    if blocks.strategy != .buddy { return longestWindow(atMost: budget, available: available) }
    var count = 1
    while 2 * count <= ids.count { count *= 2 }
    while count > 0 {
      let run = RunShape(count: count, isAligned: true)
      if let window = cheapestWindow(for: run, available: available), window.moves <= budget {
        return window
      }
      count /= 2
    }
    return Window(first: ids.lowerBound)
  }

  /// So many available blocks outside a window: free ones from the lowest, then cached ones in the
  /// order in which they would be evicted, those whose free is pending last. O(blocks).
  func holes(_ count: Int, outside window: Range<Int>) -> [BlockID] {
    var holes: [BlockID] = []
    for id in ids {
      if holes.count == count { return holes }
      if kinds[id] == Kind.free.rawValue && !window.contains(id) { holes.append(BlockID(id)) }
    }
    if holes.count == count { return holes }
    for id in blocks.freeQueue() + blocks.pendingFrees()
    where ids.contains(Int(id)) && kinds[Int(id)] == Kind.cached.rawValue
      && !window.contains(Int(id))
    {
      holes.append(id)
      if holes.count == count { break }
    }
    return holes
  }
}

/// The run that an allocation of adjacent blocks takes: of a buddy strategy a power of two that begins
/// at a multiple of its size.
struct RunShape: BitwiseCopyable {
  let count: Int
  let isAligned: Bool

  /// The blocks at which it may begin lie in here; nil where it is longer than all.
  func places(in ids: ClosedRange<Int>) -> ClosedRange<Int>? {
    count < 1 || count > ids.count ? nil : ids.lowerBound...ids.upperBound - count + 1
  }

  @inline(__always)
  func mayBegin(at first: Int) -> Bool { !isAligned || (first - 1) & (count - 1) == 0 }

  /// A rounded run of this order lies in it whole, so that its rest comes back with what leaves it.
  @inline(__always)
  func has(restOf order: UInt32) -> Bool { isAligned && 1 << order <= count }
}

extension BlockPool {
  func shape(of count: UInt32) -> RunShape {
    RunShape(count: Int(rounded(count)), isAligned: strategy == .buddy)
  }
}

/// Where a session's running tables name certain blocks.
struct TableEntries {
  private(set) var entries: [Entry]
  /// What it took, as a command's work is counted.
  private(set) var looked: UInt64 = 0
  private var places: [BlockID: Int] = [:]

  struct Entry: BitwiseCopyable {
    /// Entries that name the block.
    var references: UInt32 = 0
    /// Slots that the fullest of these tables uses.
    var filled: UInt32 = 0
    /// The first of them in the order of admission, and where it names the block.
    var slot = SequenceSlot.none
    var tableIndex: UInt32 = 0
  }

  /// O(blocks named + table entries of the session), with a bit for each block of the pool.
  init(of blocks: some Collection<BlockID>, _ pool: KVPool, session: UInt32) {
    entries = Array(repeating: Entry(), count: blocks.count)
    places.reserveCapacity(blocks.count)
    let isNamed = Bitmap(count: Int(pool.blocks.capacity) + 1)
    defer { isNamed.deallocate() }
    for (place, block) in blocks.enumerated() {
      places[block] = place
      isNamed.insert(Int(block))
    }
    var found = entries
    let places = places
    var looked = UInt64(pool.blocks.capacity / 64)
    pool.forEachRunning(of: session) { slot in
      let sequence = pool.sequences.slots[Int(slot)]
      looked += 1 + UInt64(sequence.blockCount)
      for (i, block) in sequence.blocks.enumerated() where isNamed.contains(Int(block)) {
        guard let place = places[block] else { continue }
        if found[place].references == 0 {
          found[place].slot = slot
          found[place].tableIndex = UInt32(i)
        }
        found[place].references += 1
        found[place].filled = max(
          found[place].filled,
          pool.filled(sequence.computed, UInt32(i), size: pool.blockSize(of: slot)))
      }
    }
    entries = found
    self.looked = looked
  }

  subscript(block: BlockID) -> Entry { places[block].map { entries[$0] } ?? Entry() }
}

extension KVPool {
  /// The slots of a session's running sequences, in the order of admission.
  func forEachRunning(of session: UInt32, _ body: (UInt32) -> Void) {
    if session == SequenceSlot.none { return }
    var slot = sessions.slots[Int(session)].firstRunning
    while slot != SequenceSlot.none {
      body(slot)
      slot = sequences.slots[Int(slot)].nextRunning
    }
  }
}
