/// What must hold of the host tier between two commands, checked the slow way.
extension KVPool {
  /// What is wrong with the host tier; nil when nothing is. O(host blocks + table entries).
  func checkHost() -> String? {
    guard let host else {
      return sequences.counts.swapped == 0 ? nil : "a sequence is swapped out to nowhere"
    }
    let size = Int(host.capacity) + 1
    var references = [UInt32](repeating: 0, count: size)
    var pins = [UInt32](repeating: 0, count: size)
    // All that share a host block come back to one block, which is of one class.
    var sizeClasses = [UInt8?](repeating: nil, count: size)
    for slot in 0..<sequences.slotCount {
      let sequence = sequences.slots[Int(slot)]
      if !sequence.isUsed || sequence.state != .swapped { continue }
      for block in sequence.blocks where block != 0 {
        if block > host.capacity { return "sequence \(sequence.id) holds host block \(block)" }
        references[Int(block)] += 1
        let holder = host.records[Int(block)].holder
        if holder != .shared && holder != .sequence(slot) {
          return "host block \(block) does not name sequence \(sequence.id) as its holder"
        }
        if sizeClasses[Int(block)] ?? sequence.sizeClass != sequence.sizeClass {
          return "host block \(block) is held by sequences of different size classes"
        }
        sizeClasses[Int(block)] = sequence.sizeClass
      }
    }
    for i in 0..<Int(copies.used) where copies.copies[i].id != 0 {
      let copy = copies.copies[i]
      if copy.kind.sourceTier == .host { pins[Int(copy.source)] += 1 }
      if copy.kind.targetTier == .host { pins[Int(copy.target)] += 1 }
    }
    var isFree = [Bool](repeating: false, count: size)
    var previous: BlockID = 0
    var id = host.records[0].next
    while id != 0 {
      if isFree[Int(id)] { return "host block \(id) is in the queue twice" }
      if host.records[Int(id)].previous != previous { return "host block \(id): a wrong back link" }
      isFree[Int(id)] = true
      previous = id
      id = host.records[Int(id)].next
    }
    if host.records[0].previous != previous { return "the host queue's tail is not its last block" }
    if host.sharedHolds.count > 0 { return "a session holds blocks of the host" }
    var parts = BlockCounters(free: 0)
    for id in 1...Int(host.capacity) {
      let record = host.records[id]
      if record.refCount != references[id] || UInt32(record.pins) != pins[id] {
        return "host block \(id): \(record), \(references[id]) holders, \(pins[id]) copies"
      }
      if isFree[id] != (record.refCount == 0 && record.pins == 0) {
        return "host block \(id) and the host's queue disagree"
      }
      if copies.touches(UInt32(id), on: .host) != (record.pins > 0) {
        return "host block \(id) has pins and no list of copies, or the reverse"
      }
      if (record.holder == .none) != (record.refCount == 0) || record.holder.isRaw {
        return "host block \(id) has \(record.refCount) references and a wrong holder"
      }
      switch host.state(of: record) {
      case .free: parts.free += 1
      case .cached: return "host block \(id) has content"
      case .active: parts.active += 1
      case .shared: parts.shared += 1
      case .pinned: parts.pinned += 1
      case .pending: return "host block \(id) is pending"
      }
    }
    let counters = host.counters
    if parts.free != counters.free || parts.active != counters.active
      || parts.shared != counters.shared || parts.pinned != counters.pinned || counters.cached != 0
    {
      return "the parts of the host tier are counted wrongly"
    }
    return counters.allocatedBlocks >= counters.freedBlocks
      && counters.allocatedBlocks - counters.freedBlocks == UInt64(host.capacity - parts.free)
      ? nil : "host blocks handed out and given back do not add up"
  }
}
