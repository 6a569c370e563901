/// `priority`: the block with the lowest retention priority, the longest unused of these.
///
/// As in TensorRT-LLM: priorities 0 ... 100, 35 where nobody said any; the time-to-live runs from the
/// last use, and when it is over the block falls to the default. Among blocks of one priority the
/// order is that of their last use, also for those that fell to it. Each step O(log n); 60 bytes a
/// block.
final class RetentionOrder {
  static let defaultPriority: UInt8 = 35
  static let highestPriority: UInt8 = 100

  /// By (priority, arrival).
  private let heap: RankedHeap
  /// Of these, blocks with a time-to-live by (the clock at which it is over, arrival).
  private let expiring: RankedHeap
  /// By block: its priority + 1; 0 = nobody said any.
  private let priorities: UnsafeMutablePointer<UInt32>
  /// By block: milliseconds after the last use; 0 = for ever.
  private let timesToLive: UnsafeMutablePointer<UInt64>
  private let capacity: Int
  private let undo: UndoLog

  init(capacity: Int, undo: UndoLog) {
    self.capacity = capacity
    self.undo = undo
    heap = RankedHeap(capacity: capacity, undo: undo)
    expiring = RankedHeap(capacity: capacity, undo: undo)
    priorities = .allocate(capacity: capacity + 1)
    priorities.initialize(repeating: 0, count: capacity + 1)
    timesToLive = .allocate(capacity: capacity + 1)
    timesToLive.initialize(repeating: 0, count: capacity + 1)
  }

  deinit {
    priorities.deallocate()
    timesToLive.deallocate()
  }

  func removeAll() {
    heap.removeAll()
    expiring.removeAll()
    priorities.update(repeating: 0, count: capacity + 1)
    timesToLive.update(repeating: 0, count: capacity + 1)
  }

  private func rank(_ id: BlockID) -> UInt64 {
    priorities[Int(id)] == 0 ? UInt64(Self.defaultPriority) : UInt64(priorities[Int(id)]) - 1
  }

  func insert(_ id: BlockID, tie: UInt64, now: UInt64) {
    heap.insert(id, rank: rank(id), tie: tie)
    if timesToLive[Int(id)] == 0 { return }
    let (sum, overflow) = now.addingReportingOverflow(timesToLive[Int(id)])
    expiring.insert(id, rank: overflow ? .max : sum, tie: tie)
  }

  func remove(_ id: BlockID) {
    heap.remove(id)
    if expiring.contains(id) { expiring.remove(id) }
  }

  func forget(_ id: BlockID) {
    if priorities[Int(id)] != 0 { set(id, 0, 0) }
  }

  /// Of a block that somebody holds: what the last one to say so wants.
  func claim(_ id: BlockID, priority: UInt8, timeToLive: UInt64) {
    set(id, UInt32(priority) + 1, timeToLive)
  }

  func move(_ id: BlockID, to target: BlockID) {
    set(target, priorities[Int(id)], timesToLive[Int(id)])
    set(id, 0, 0)
  }

  private func set(_ id: BlockID, _ priority: UInt32, _ timeToLive: UInt64) {
    undo.note(priorities + Int(id))
    priorities[Int(id)] = priority
    undo.note(timesToLive + Int(id))
    timesToLive[Int(id)] = timeToLive
  }

  func expire(_ now: UInt64) -> Bool {
    var any = false
    while case let id = expiring.first, id != 0, expiring.rank(of: id) <= now {
      expiring.remove(id)
      set(id, 0, 0)
      heap.move(id, to: UInt64(Self.defaultPriority))
      any = true
    }
    return any
  }

  func victim() -> BlockID { heap.first }

  var memory: Int {
    (capacity + 1)
      * (2 * RankedHeap.bytesPerItem + MemoryLayout<UInt32>.stride + MemoryLayout<UInt64>.stride)
  }

  func sorted(_ ids: [BlockID]) -> [BlockID] {
    ids.sorted {
      (heap.rank(of: $0), heap.tie(of: $0)) < (heap.rank(of: $1), heap.tie(of: $1))
    }
  }

  // MARK: Undo, dumps and checks

  struct Mark: BitwiseCopyable {
    fileprivate var count: Int
    fileprivate var expiring: Int
  }

  var mark: Mark { Mark(count: heap.count, expiring: expiring.count) }

  func restore(_ mark: Mark) {
    heap.restore(count: mark.count)
    expiring.restore(count: mark.expiring)
  }

  func write(to writer: StateWriter, arrived: [BlockID], capacity: UInt32) {
    for id in arrived { writer.u64(expiring.contains(id) ? expiring.rank(of: id) : 0) }
    let known = (1...capacity).filter { priorities[Int($0)] != 0 }
    writer.u32(UInt32(known.count))
    for id in known {
      writer.u32(id)
      writer.u32(priorities[Int(id)] - 1)
      writer.u64(timesToLive[Int(id)])
    }
  }

  func read(
    from reader: inout StateReader, arrived: [BlockID], capacity: UInt32,
    _ records: UnsafeMutablePointer<BlockRecord>
  ) throws(StateFailure) {
    var ends: [UInt64] = []
    for _ in arrived { ends.append(try reader.u64()) }
    var last: BlockID = 0
    for _ in 0..<(try reader.count("priorities", bytesEach: 16)) {
      let id = try reader.u32("a block", last + 1, through: max(capacity, last + 1))
      if id > capacity || records[Int(id)].twin == 0 {
        throw reader.failure("block \(id) has a priority and no content")
      }
      priorities[Int(id)] =
        try reader.u32("a priority", through: UInt32(Self.highestPriority)) + 1
      timesToLive[Int(id)] = try reader.u64()
      last = id
    }
    for (i, id) in arrived.enumerated() {
      heap.insert(id, rank: rank(id), tie: UInt64(i) + 1)
      if (ends[i] != 0) != (timesToLive[Int(id)] != 0) {
        throw reader.failure("block \(id) has a time-to-live without an end, or the reverse")
      }
      if ends[i] != 0 { expiring.insert(id, rank: ends[i], tie: UInt64(i) + 1) }
    }
  }

  func check(_ members: [BlockID]) -> String? {
    if heap.count != members.count || !members.allSatisfy(heap.contains) {
      return "\(heap.count) blocks are ranked of \(members.count)"
    }
    for id in 1...UInt32(max(capacity, 1)) {
      if heap.contains(id) && heap.rank(of: id) != rank(id) {
        return "block \(id) is ranked by another priority"
      }
      if expiring.contains(id) != (heap.contains(id) && timesToLive[Int(id)] != 0) {
        return "the time of block \(id) never ends"
      }
    }
    return heap.check() ?? expiring.check()
  }
}
