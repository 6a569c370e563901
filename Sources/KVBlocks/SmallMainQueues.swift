/// `s3-fifo`: a small queue for what is new, a main queue for what was hit again, and ghosts.
///
/// The algorithm of Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023), for
/// blocks that can be evicted: a block that comes for the first time goes into the small queue, or
/// into the main one if its content was evicted from the small one lately (a ghost). While the small
/// queue has a tenth of the blocks or more, its oldest goes, unless it was hit twice, then it moves to
/// the main queue and its hits are forgotten; else the oldest of the main queue goes, unless it was
/// hit, then it goes round once more for each hit. Hits count up to 3.
///
/// One victim passes over 64 blocks at most. Then it is the one of them that had the fewest hits, of
/// these the first. The paper knows no such limit; but without it one victim may cost a round of all
/// blocks, and a command that is only tried, or undone, pays that again and again.
///
/// While a block is held it is in no queue; it comes back to the place it had, so that a hit moves
/// nothing. Each step O(log n), a victim too; 52 bytes a block and 12 to 17 for
/// ghosts.
final class SmallMainQueues {
  private let small: RankedHeap
  private let main: RankedHeap
  /// By block: its queue (0 = it is new) x 4 + its hits.
  private let states: UnsafeMutablePointer<UInt32>
  private let ghosts: GhostRing
  private let capacity: Int
  private let undo: UndoLog
  /// Places given out.
  private var places: UInt64 = 0
  /// Blocks that the search for the last victim passed over. No part of the state.
  private(set) var passedOver = 0

  private static let smallQueue: UInt32 = 1
  private static let mainQueue: UInt32 = 2
  private static let mostHits: UInt32 = 3
  static let mostPassed = 64

  init(capacity: Int, secret: MapSecret, undo: UndoLog) {
    self.capacity = capacity
    self.undo = undo
    small = RankedHeap(capacity: capacity, undo: undo)
    main = RankedHeap(capacity: capacity, undo: undo)
    states = .allocate(capacity: capacity + 1)
    states.initialize(repeating: 0, count: capacity + 1)
    ghosts = GhostRing(capacity: max(1, capacity * 9 / 10), secret: secret, undo: undo)
  }

  deinit { states.deallocate() }

  func removeAll() {
    small.removeAll()
    main.removeAll()
    states.update(repeating: 0, count: capacity + 1)
    ghosts.removeAll()
    places = 0
  }

  private func set(_ id: BlockID, _ queue: UInt32, _ hits: UInt32) {
    undo.note(states + Int(id))
    states[Int(id)] = queue * 4 + hits
  }

  private func queue(_ id: BlockID) -> UInt32 { states[Int(id)] / 4 }
  private func hits(_ id: BlockID) -> UInt32 { states[Int(id)] % 4 }
  private func heap(_ queue: UInt32) -> RankedHeap { queue == Self.mainQueue ? main : small }

  /// At the end of a queue.
  private func append(_ id: BlockID, to queue: UInt32, hits: UInt32) {
    places += 1
    set(id, queue, hits)
    heap(queue).insert(id, rank: places, tie: 0)
  }

  func insert(_ id: BlockID, content: @autoclosure () -> UInt64) {
    let queue = queue(id)
    if queue == 0 {
      let isGhost = ghosts.remove(content())
      append(id, to: isGhost ? Self.mainQueue : Self.smallQueue, hits: hits(id))
    } else {
      let heap = heap(queue)
      // What left a heap keeps its key there.
      heap.insert(id, rank: heap.rank(of: id), tie: 0)
    }
  }

  func remove(_ id: BlockID) { heap(queue(id)).remove(id) }

  func hit(_ id: BlockID) {
    if hits(id) < Self.mostHits { set(id, queue(id), hits(id) + 1) }
  }

  func forget(_ id: BlockID) { if states[Int(id)] != 0 { set(id, 0, 0) } }

  func move(_ id: BlockID, to target: BlockID) {
    set(target, queue(id), hits(id))
    if queue(id) != 0 { heap(queue(id)).inherit(target, from: id) }
    set(id, 0, 0)
  }

  /// To be evicted by who asks: what it passed over has moved, and it may be a ghost already.
  func victim(_ content: (BlockID) -> UInt64) -> BlockID {
    var passed = Passed()
    defer { passedOver = passed.count }
    while passed.count < Self.mostPassed {
      if Self.takesFromSmall(small.count, main.count) {
        let id = small.first
        if hits(id) < 2 {
          ghosts.insert(content(id))
          return id
        }
        passed.add(id, hits(id))
        small.remove(id)
        append(id, to: Self.mainQueue, hits: 0)
      } else {
        let id = main.first
        if hits(id) == 0 { return id }
        passed.add(id, hits(id))
        main.remove(id)
        append(id, to: Self.mainQueue, hits: hits(id) - 1)
      }
    }
    return passed.least
  }

  /// What the search for one victim has passed over, with the hits that it had then.
  private struct Passed {
    var count = 0
    private(set) var least: BlockID = 0
    private var hits = UInt32.max

    mutating func add(_ id: BlockID, _ hits: UInt32) {
      count += 1
      if hits < self.hits {
        least = id
        self.hits = hits
      }
    }
  }

  var memory: Int {
    (capacity + 1) * (2 * RankedHeap.bytesPerItem + MemoryLayout<UInt32>.stride) + ghosts.memory
  }

  private static func takesFromSmall(_ small: Int, _ main: Int) -> Bool {
    small > 0 && (main == 0 || small * 10 >= small + main)
  }

  /// Plays the evictions through on copies.
  func sorted(_ ids: [BlockID]) -> [BlockID] {
    func line(_ heap: RankedHeap) -> [(id: BlockID, hits: UInt32)] {
      ids.filter { heap.contains($0) }.sorted { heap.rank(of: $0) < heap.rank(of: $1) }
        .map { ($0, hits($0)) }
    }
    var first = line(small)[...]
    var second = line(main)
    var head = 0
    var order: [BlockID] = []
    var passed = Passed()
    while order.count < ids.count {
      if passed.count == Self.mostPassed {
        // It is among the last that were passed over.
        guard let place = second.lastIndex(where: { $0.id == passed.least }) else {
          preconditionFailure("evicted a block that is not queued")
        }
        order.append(second.remove(at: place).id)
        passed = Passed()
        continue
      }
      if Self.takesFromSmall(first.count, second.count - head), let one = first.popFirst() {
        if one.hits < 2 {
          order.append(one.id)
          passed = Passed()
        } else {
          passed.add(one.id, one.hits)
          second.append((one.id, 0))
        }
      } else {
        let one = second[head]
        head += 1
        if one.hits == 0 {
          order.append(one.id)
          passed = Passed()
        } else {
          passed.add(one.id, one.hits)
          second.append((one.id, one.hits - 1))
        }
      }
    }
    return order
  }

  // MARK: Undo, dumps and checks

  struct Mark: BitwiseCopyable {
    fileprivate var small: Int
    fileprivate var main: Int
    fileprivate var places: UInt64
    fileprivate var ghosts: GhostRing.Ends
  }

  var mark: Mark {
    Mark(small: small.count, main: main.count, places: places, ghosts: ghosts.ends)
  }

  func restore(_ mark: Mark) {
    small.restore(count: mark.small)
    main.restore(count: mark.main)
    places = mark.places
    ghosts.restore(mark.ghosts)
  }

  /// Each queue from its oldest, held blocks in their places; then blocks hit while new; ghosts.
  func write(to writer: StateWriter, capacity: UInt32) {
    for queue in [Self.smallQueue, Self.mainQueue] {
      let heap = heap(queue)
      let members = (1...capacity).filter { self.queue($0) == queue }
        .sorted { heap.rank(of: $0) < heap.rank(of: $1) }
      writer.u32(UInt32(members.count))
      for id in members {
        writer.u32(id)
        writer.u8(UInt8(hits(id)))
      }
    }
    let new = (1...capacity).filter { queue($0) == 0 && hits($0) > 0 }
    writer.u32(UInt32(new.count))
    for id in new {
      writer.u32(id)
      writer.u8(UInt8(hits(id)))
    }
    ghosts.write(to: writer)
  }

  func read(
    from reader: inout StateReader, capacity: UInt32,
    _ records: UnsafeMutablePointer<BlockRecord>
  ) throws(StateFailure) {
    for queue in [Self.smallQueue, Self.mainQueue, 0] {
      var last: BlockID = 0
      for _ in 0..<(try reader.count("queued blocks", bytesEach: 5)) {
        let id = try reader.u32("a block", 1, through: capacity)
        let hits = UInt32(try reader.u8())
        if states[Int(id)] != 0 || records[Int(id)].twin == 0 || hits > Self.mostHits
          || (queue == 0 && (hits == 0 || id <= last))
        {
          throw reader.failure("block \(id) comes twice, has no content or was hit too often")
        }
        last = id
        states[Int(id)] = queue * 4 + hits
        if queue == 0 { continue }
        places += 1
        // Also of a held block: this gives it its place.
        heap(queue).insert(id, rank: places, tie: 0)
      }
    }
    for id in 1...capacity where queue(id) != 0 {
      let record = records[Int(id)]
      // A pending one joins with its batch.
      let isMember = record.refCount == 0 && record.pins == 0 && record.holder != .pending
      if !isMember { heap(queue(id)).remove(id) }
    }
    try ghosts.read(from: &reader)
  }

  func check(_ members: [BlockID]) -> String? {
    if small.count + main.count != members.count
      || !members.allSatisfy({ small.contains($0) || main.contains($0) })
    {
      return "\(small.count) + \(main.count) blocks are queued of \(members.count)"
    }
    for id in 1...UInt32(max(capacity, 1)) {
      if small.contains(id) && queue(id) != Self.smallQueue
        || main.contains(id) && queue(id) != Self.mainQueue
      {
        return "block \(id) is in the wrong queue"
      }
    }
    return small.check() ?? main.check() ?? ghosts.check()
  }
}
