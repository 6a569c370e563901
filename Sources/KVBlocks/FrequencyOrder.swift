/// `lfu`: the block that was hit least often since it was cached, aged as in LFU-DA.
///
/// A block's rank is its hits plus the age of the cache, taken when it comes; the age is the rank of
/// the last victim. Until something is evicted this is plain LFU; after that what was popular once
/// and is not hit any more is overtaken, without any sweep (Arlitt et al., "Evaluating content
/// management techniques for Web proxy caches", 1999). Each step O(log n); 28 bytes a block.
final class FrequencyOrder {
  private let heap: RankedHeap
  /// By block: hits since it was cached.
  private let hits: UnsafeMutablePointer<UInt32>
  private let capacity: Int
  private let undo: UndoLog
  private var age: UInt64 = 0

  init(capacity: Int, undo: UndoLog) {
    self.capacity = capacity
    self.undo = undo
    heap = RankedHeap(capacity: capacity, undo: undo)
    hits = .allocate(capacity: capacity + 1)
    hits.initialize(repeating: 0, count: capacity + 1)
  }

  deinit { hits.deallocate() }

  func removeAll() {
    heap.removeAll()
    hits.update(repeating: 0, count: capacity + 1)
    age = 0
  }

  func insert(_ id: BlockID, tie: UInt64) {
    heap.insert(id, rank: age + UInt64(hits[Int(id)]), tie: tie)
  }

  func remove(_ id: BlockID) { heap.remove(id) }

  func hit(_ id: BlockID) { set(id, to: hits[Int(id)] == .max ? .max : hits[Int(id)] + 1) }

  func forget(_ id: BlockID) { if hits[Int(id)] != 0 { set(id, to: 0) } }

  func move(_ id: BlockID, to target: BlockID) {
    set(target, to: hits[Int(id)])
    set(id, to: 0)
  }

  private func set(_ id: BlockID, to value: UInt32) {
    undo.note(hits + Int(id))
    hits[Int(id)] = value
  }

  /// To be evicted by who asks: its rank is the age from here on.
  func victim() -> BlockID {
    age = heap.rank(of: heap.first)
    return heap.first
  }

  var memory: Int { (capacity + 1) * (RankedHeap.bytesPerItem + MemoryLayout<UInt32>.stride) }

  func sorted(_ ids: [BlockID]) -> [BlockID] {
    ids.sorted {
      (heap.rank(of: $0), heap.tie(of: $0)) < (heap.rank(of: $1), heap.tie(of: $1))
    }
  }

  // MARK: Undo, dumps and checks

  struct Mark: BitwiseCopyable {
    fileprivate var count: Int
    fileprivate var age: UInt64
  }

  var mark: Mark { Mark(count: heap.count, age: age) }

  func restore(_ mark: Mark) {
    heap.restore(count: mark.count)
    age = mark.age
  }

  func write(to writer: StateWriter, arrived: [BlockID], capacity: UInt32) {
    writer.u64(age)
    for id in arrived { writer.u64(heap.rank(of: id)) }
    let known = (1...capacity).filter { hits[Int($0)] != 0 }
    writer.u32(UInt32(known.count))
    for id in known {
      writer.u32(id)
      writer.u32(hits[Int(id)])
    }
  }

  func read(
    from reader: inout StateReader, arrived: [BlockID], capacity: UInt32,
    _ records: UnsafeMutablePointer<BlockRecord>
  ) throws(StateFailure) {
    age = try reader.counter("the age")
    for (i, id) in arrived.enumerated() {
      heap.insert(id, rank: try reader.counter("a rank"), tie: UInt64(i) + 1)
    }
    var last: BlockID = 0
    for _ in 0..<(try reader.count("hits", bytesEach: 8)) {
      let id = try reader.u32("a block", last + 1, through: max(capacity, last + 1))
      if id > capacity || records[Int(id)].twin == 0 {
        throw reader.failure("block \(id) was hit and has no content")
      }
      hits[Int(id)] = try reader.u32("hits", 1, through: .max)
      last = id
    }
  }

  func check(_ members: [BlockID]) -> String? {
    if heap.count != members.count || !members.allSatisfy(heap.contains) {
      return "\(heap.count) blocks are ranked of \(members.count)"
    }
    return heap.check()
  }
}
