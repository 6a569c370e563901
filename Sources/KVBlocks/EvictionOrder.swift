/// The cached blocks of a pool in split mode, those that nobody holds, and who is evicted next: the
/// one interface of the eviction policies.
///
/// A block joins when its last reference is dropped and it has content, and leaves when it is hit,
/// pinned or forgotten, or evicted as the victim. Owns the list of its members in the order in which
/// they came (their links lie in the records; the record behind the last block is the sentinel) and
/// what a policy keeps beside it. For `lru` the list is all there is: who was given back first goes
/// first, vLLM's victims. Never touches references or contents itself.
///
/// The list makes switching policies O(members) and gives the ties of all of them.
/// `EvictionPolicies.md` has the rules, their sources, the costs and the memory.
final class EvictionOrder {
  let policy: EvictionPolicy
  /// The clock of the command at hand, where the policy keeps time.
  var now: UInt64 = 0
  private let capacity: UInt32
  /// The record behind the last block, or another one where a pool has several such orders.
  private let sentinel: BlockID
  private let records: UnsafeMutablePointer<BlockRecord>
  private let index: PrefixIndex?
  private let undo: UndoLog
  /// Blocks that came, ever: the ties.
  private var arrivals: UInt64 = 0
  private let frequencies: FrequencyOrder?
  private let queues: SmallMainQueues?
  private let retention: RetentionOrder?

  /// Empty. The sentinel's links are its own from here on; who needs the old ones has saved them.
  init(
    _ policy: EvictionPolicy, capacity: UInt32, records: UnsafeMutablePointer<BlockRecord>,
    index: PrefixIndex?, undo: UndoLog, sentinel: BlockID? = nil
  ) {
    self.sentinel = sentinel ?? capacity + 1
    precondition(policy == .lru || index != nil, "a pool without a cache evicts nothing")
    self.policy = policy
    self.capacity = capacity
    self.records = records
    self.index = index
    self.undo = undo
    let count = Int(capacity)
    frequencies = policy == .lfu ? FrequencyOrder(capacity: count, undo: undo) : nil
    queues =
      policy == .s3FIFO
      ? SmallMainQueues(capacity: count, secret: index?.secret ?? MapSecret(), undo: undo) : nil
    retention = policy == .priority ? RetentionOrder(capacity: count, undo: undo) : nil
    clearList()
  }

  func removeAll() {
    clearList()
    arrivals = 0
    frequencies?.removeAll()
    queues?.removeAll()
    retention?.removeAll()
  }

  private func clearList() {
    records[Int(sentinel)].previous = sentinel
    records[Int(sentinel)].next = sentinel
  }

  /// Whether the clock matters to it.
  var keepsTime: Bool { policy == .priority }

  /// Bytes beside the records.
  var memory: Int {
    (frequencies?.memory ?? 0) + (queues?.memory ?? 0) + (retention?.memory ?? 0)
  }

  private func save(_ id: BlockID) { undo.note(id, records) }

  // MARK: What happens to blocks

  /// Nobody holds the block any more. Who calls has saved its record.
  func insert(_ id: BlockID) {
    link(id)
    rank(id)
  }

  /// The last of the list. The policy is told later, by `rankAll` or `read`.
  func link(_ id: BlockID) {
    let last = records[Int(sentinel)].previous
    save(last)
    save(sentinel)
    records[Int(id)].previous = last
    records[Int(id)].next = sentinel
    records[Int(last)].next = id
    records[Int(sentinel)].previous = id
  }

  private func rank(_ id: BlockID) {
    arrivals += 1
    switch policy {
    case .lru: break
    case .lfu: frequencies?.insert(id, tie: arrivals)
    case .s3FIFO: queues?.insert(id, content: fingerprint(id))
    case .priority: retention?.insert(id, tie: arrivals, now: now)
    }
  }

  /// All members of the list come to the policy, in its order.
  func rankAll() {
    if policy == .lru { return }
    for id in arrived() { rank(id) }
  }

  /// Somebody holds the block, pins it, or took its content. Who calls has saved its record.
  func remove(_ id: BlockID) {
    let record = records[Int(id)]
    save(record.previous)
    save(record.next)
    records[Int(record.previous)].next = record.next
    records[Int(record.next)].previous = record.previous
    records[Int(id)].previous = 0
    records[Int(id)].next = 0
    switch policy {
    case .lru: break
    case .lfu: frequencies?.remove(id)
    case .s3FIFO: queues?.remove(id)
    case .priority: retention?.remove(id)
    }
  }

  /// Names the block to be evicted next; there must be one. The policy learns from it, so that who
  /// asks must evict it: forget it, and by that remove it.
  func victim() -> BlockID {
    switch policy {
    case .lru: records[Int(sentinel)].next
    case .lfu: frequencies.unsafelyUnwrapped.victim()
    case .s3FIFO: queues.unsafelyUnwrapped.victim(fingerprint)
    case .priority: retention.unsafelyUnwrapped.victim()
    }
  }

  /// Blocks that the search for the last victim passed over.
  var passedOver: Int { queues?.passedOver ?? 0 }

  /// The block was found by its content, held or not.
  func hit(_ id: BlockID) {
    switch policy {
    case .lru, .priority: break
    case .lfu: frequencies?.hit(id)
    case .s3FIFO: queues?.hit(id)
    }
  }

  /// The block has lost its content and is no member any more.
  func forget(_ id: BlockID) {
    switch policy {
    case .lru: break
    case .lfu: frequencies?.forget(id)
    case .s3FIFO: queues?.forget(id)
    case .priority: retention?.forget(id)
    }
  }

  /// The content of a held block has become that of another held one.
  func move(_ id: BlockID, to target: BlockID) {
    switch policy {
    case .lru: break
    case .lfu: frequencies?.move(id, to: target)
    case .s3FIFO: queues?.move(id, to: target)
    case .priority: retention?.move(id, to: target)
    }
  }

  /// What a sequence wants for a block that it holds.
  func claim(_ id: BlockID, priority: UInt8, timeToLive: UInt64) {
    retention?.claim(id, priority: priority, timeToLive: timeToLive)
  }

  /// Blocks whose time is over by now fall to the default priority. Returns whether there were any.
  func expire() -> Bool { retention?.expire(now) ?? false }

  /// Of a block's content; the same in every process, unlike the index's own.
  private func fingerprint(_ id: BlockID) -> UInt64 {
    guard let index else { preconditionFailure("a cached block in a pool without a cache") }
    var digest = Digest()
    digest.add(index.hash(of: id))
    digest.add(UInt64(records[Int(id)].group))
    return digest.value
  }

  // MARK: Looking

  /// The members from the first that came to the last. O(members).
  func arrived() -> [BlockID] {
    var ids: [BlockID] = []
    var id = records[Int(sentinel)].next
    while id != sentinel && ids.count <= Int(capacity) {
      ids.append(id)
      id = records[Int(id)].next
    }
    return ids
  }

  /// The members in the order in which they would go. O(n log n); for tests and snapshots.
  func victims() -> [BlockID] {
    let ids = arrived()
    return frequencies?.sorted(ids) ?? queues?.sorted(ids) ?? retention?.sorted(ids) ?? ids
  }

  // MARK: Undo

  struct Mark: BitwiseCopyable {
    fileprivate var arrivals: UInt64
    fileprivate var frequencies: FrequencyOrder.Mark?
    fileprivate var queues: SmallMainQueues.Mark?
    fileprivate var retention: RetentionOrder.Mark?
  }

  var mark: Mark {
    Mark(
      arrivals: arrivals, frequencies: frequencies?.mark, queues: queues?.mark,
      retention: retention?.mark)
  }

  /// The records and words are in the undo log; this is the rest.
  func restore(_ mark: Mark) {
    arrivals = mark.arrivals
    if let saved = mark.frequencies { frequencies?.restore(saved) }
    if let saved = mark.queues { queues?.restore(saved) }
    if let saved = mark.retention { retention?.restore(saved) }
  }

  // MARK: Dumps and checks

  /// What the policy knows; the list is in the queue's section. Ties are made again.
  func write(to writer: StateWriter) {
    if policy == .lru { return }
    writer.section("EVIC")
    let ids = arrived()
    frequencies?.write(to: writer, arrived: ids, capacity: capacity)
    queues?.write(to: writer, capacity: capacity)
    retention?.write(to: writer, arrived: ids, capacity: capacity)
  }

  /// For blocks that are linked and not ranked, when their contents are there.
  func read(from reader: inout StateReader) throws(StateFailure) {
    if policy == .lru { return }
    try reader.section("EVIC")
    let ids = arrived()
    arrivals = UInt64(ids.count)
    try frequencies?.read(from: &reader, arrived: ids, capacity: capacity, records)
    try queues?.read(from: &reader, capacity: capacity, records)
    try retention?.read(from: &reader, arrived: ids, capacity: capacity, records)
  }

  /// What is wrong with it; nil when nothing is. O(capacity).
  func check() -> String? {
    var previous = sentinel
    let members = arrived()
    for id in members {
      if records[Int(id)].previous != previous { return "block \(id) has a wrong back link" }
      previous = id
    }
    if records[Int(sentinel)].previous != previous {
      return "the tail of the cached blocks is not their last block"
    }
    return frequencies?.check(members) ?? queues?.check(members) ?? retention?.check(members)
  }
}
