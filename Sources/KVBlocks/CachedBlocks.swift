/// The cached blocks of a pool in split mode, those that nobody holds, in the order in which they are
/// evicted: the seam of the eviction policies.
///
/// A block joins when its last reference is dropped and it has content, and leaves when it is hit,
/// pinned, forgotten or taken by its id. Who calls has saved the block's record; what a policy keeps
/// elsewhere it must be able to undo. Subclasses override everything.
class CachedBlocks {
  let capacity: UInt32
  let records: UnsafeMutablePointer<BlockRecord>
  let undo: UndoLog

  init(capacity: UInt32, records: UnsafeMutablePointer<BlockRecord>, undo: UndoLog) {
    self.capacity = capacity
    self.records = records
    self.undo = undo
  }

  /// A cached block that nobody holds any more.
  func insert(_ id: BlockID) { preconditionFailure("a policy without insert") }

  func remove(_ id: BlockID) { preconditionFailure("a policy without remove") }

  /// Whom to evict next; there is one. Changes nothing.
  func victim() -> BlockID { preconditionFailure("a policy without victims") }

  func removeAll() { preconditionFailure("a policy without blocks") }

  /// A rollback has put the block's record back. To be overridden by what does not lie in the records.
  func restored(_ id: BlockID) {}

  /// The members, the next victim first. O(members).
  func list() -> [BlockID] { preconditionFailure("a policy without blocks") }

  /// What is wrong with it; nil when nothing is. For tests.
  func check() -> String? { nil }

  /// Bytes beside the records.
  var memory: Int { 0 }
}

/// vLLM's victims: who was given back first is evicted first. A hit leaves its place and comes back at
/// the tail. O(1); the links lie in the records, and the record behind the last block is the sentinel.
final class LeastRecentlyUsed: CachedBlocks {
  private var sentinel: BlockID { capacity + 1 }

  override func insert(_ id: BlockID) {
    let last = records[Int(sentinel)].previous
    save(last)
    save(sentinel)
    records[Int(id)].previous = last
    records[Int(id)].next = sentinel
    records[Int(last)].next = id
    records[Int(sentinel)].previous = id
  }

  override func remove(_ id: BlockID) {
    let record = records[Int(id)]
    save(record.previous)
    save(record.next)
    records[Int(record.previous)].next = record.next
    records[Int(record.next)].previous = record.previous
    records[Int(id)].previous = 0
    records[Int(id)].next = 0
  }

  private func save(_ id: BlockID) {
    if undo.isRecording { undo.blocks.append(.init(id: id, record: records[Int(id)])) }
  }

  override func victim() -> BlockID { records[Int(sentinel)].next }

  override func removeAll() {
    records[Int(sentinel)].previous = sentinel
    records[Int(sentinel)].next = sentinel
  }

  override func list() -> [BlockID] {
    var ids: [BlockID] = []
    var id = records[Int(sentinel)].next
    while id != sentinel && ids.count <= Int(capacity) {
      ids.append(id)
      id = records[Int(id)].next
    }
    return ids
  }

  override func check() -> String? {
    var previous = sentinel
    for id in list() {
      if records[Int(id)].previous != previous { return "block \(id) has a wrong back link" }
      previous = id
    }
    return records[Int(sentinel)].previous == previous
      ? nil : "the tail of the cached blocks is not their last block"
  }
}
