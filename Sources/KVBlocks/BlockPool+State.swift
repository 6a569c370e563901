/// Blocks in a dump: their records, the queue, the raw holds, the contents and the counts.
///
/// Adjacent blocks that look alike are one run, and so are adjacent ids in the queue: a new pool of
/// any size takes a few dozen bytes.
extension BlockPool {
  func write(to writer: StateWriter) {
    writer.section("BLKS")
    writeRecords(to: writer)
    writer.section("QUEU")
    writeQueue(to: writer)
    writer.section("HOLD")
    writeHolds(to: writer)
    if strategy != .freeQueue { writeRounding(to: writer) }
    lastingCounters.write(to: writer)
    if index != nil { counters.writeByPolicy(to: writer) }
    index?.write(to: writer)
    split?.cached.write(to: writer)
    writePending(to: writer)
  }

  /// Into a pool of the same configuration that nothing has happened to. Sessions and sequences have
  /// `sessions` and `sequences` slots.
  func read(
    from reader: inout StateReader, sessions: UInt32, sequences: UInt32
  ) throws(StateFailure) {
    // In split mode, too, the blocks queue up at first.
    let policy = split?.cached.policy
    split = nil
    parts = []
    try reader.section("BLKS")
    try readRecords(from: &reader, sessions: sessions, sequences: sequences)
    if let wrong = checkClassesOfBlocks() { throw reader.failure(wrong) }
    try reader.section("QUEU")
    try readQueue(from: &reader)
    try reader.section("HOLD")
    try readHolds(from: &reader, sessions: sessions)
    let rounding = strategy != .freeQueue ? try readRounding(from: &reader) : []
    counters = try BlockCounters(from: &reader, blocks: capacity)
    if index != nil { try counters.readByPolicy(from: &reader) }
    try index?.read(from: &reader)
    if let policy { try readSplit(policy, from: &reader) }
    try readPending(from: &reader)
    for id in 1...Int(capacity) where records[id].holder == .rounding { counters.rounding += 1 }
    for run in rounding {
      records[Int(run.id)].next = run.next
      records[Int(run.id)].previous = run.previous
    }
  }

  private func readSplit(
    _ policy: EvictionPolicy, from reader: inout StateReader
  ) throws(StateFailure) {
    let queue = freeQueue()
    if !classes.isEmpty {
      deal(queue)
      if freeQueue() != queue { throw reader.failure("the queue is not one class after the other") }
      return
    }
    let split = split(by: strategy, policy, linking: queue)
    if split.free.list() + split.cached.arrived() != queue {
      throw reader.failure("the queue is not in the strategy's order")
    }
    try split.cached.read(from: &reader)
    self.split = split
  }

  // MARK: Records, without their links

  private func writeRecords(to writer: StateWriter) {
    var id = 1
    while id <= Int(capacity) {
      let record = records[id]
      var end = id + 1
      while end <= Int(capacity) && Self.alike(records[end], record) { end += 1 }
      writer.u32(UInt32(end - id))
      writer.u32(record.refCount)
      writer.u32(record.holder.bits)
      writer.u32(record.generation)
      writer.u32(record.lastTouch)
      writer.u16(record.pins)
      writer.u8(record.sizeClass)
      writer.u8(record.group)
      id = end
    }
  }

  @inline(__always)
  private static func alike(_ a: BlockRecord, _ b: BlockRecord) -> Bool {
    a.refCount == b.refCount && a.holder.bits == b.holder.bits && a.generation == b.generation
      && a.lastTouch == b.lastTouch && a.pins == b.pins && a.sizeClass == b.sizeClass
      && a.group == b.group
  }

  private func readRecords(
    from reader: inout StateReader, sessions: UInt32, sequences: UInt32
  ) throws(StateFailure) {
    var id: UInt32 = 1
    while id <= capacity {
      let count = try reader.u32("a run of blocks", 1, through: capacity - id + 1)
      var record = BlockRecord()
      record.refCount = try reader.u32()
      record.holder = Holder(bits: try reader.u32())
      let isHolder =
        record.holder == .none || record.holder == .shared
        || (record.holder == .pending && lazy != nil)
        || (record.holder == .rounding && strategy.needsRuns)
        || (record.holder.isRaw && record.holder.slot < sessions)
        || (record.holder.isSequence && record.holder.slot < sequences)
      if !isHolder { throw reader.failure("block \(id) has a holder that does not exist") }
      record.generation = try reader.u32()
      record.lastTouch = try reader.u32()
      record.pins = try reader.u16()
      if record.pins > Self.maximumPins + 1 {
        throw reader.failure("block \(id) has \(record.pins) pins, at most \(Self.maximumPins + 1)")
      }
      record.sizeClass = try reader.u8()
      record.group = try reader.u8()
      (records + Int(id)).update(repeating: record, count: Int(count))
      id += count
    }
    records[0] = BlockRecord()
  }

  // MARK: The queue, from the head

  /// Marks a run of descending ids in its length; a pool has fewer blocks.
  private static let descends: UInt32 = 1 << 31

  private func writeQueue(to writer: StateWriter) {
    if let split {
      let queue = parts.isEmpty ? split.free.list() + split.cached.arrived() : freeQueue()
      return write(queue, to: writer)
    }
    var id = records[0].next
    while id != 0 {
      var next = records[Int(id)].next
      var length: UInt32 = 1
      let step: UInt32 = next &+ 1 == id ? .max : 1
      while next != 0 && next == id &+ length &* step {
        length += 1
        next = records[Int(next)].next
      }
      writer.u32(length | (length > 1 && step != 1 ? Self.descends : 0))
      writer.u32(id)
      id = next
    }
    writer.u32(0)
  }

  /// The same of ids in a list.
  private func write(_ queue: [BlockID], to writer: StateWriter) {
    var i = 0
    while i < queue.count {
      var end = i + 1
      let step: UInt32 = end < queue.count && queue[end] &+ 1 == queue[i] ? .max : 1
      while end < queue.count && queue[end] == queue[end - 1] &+ step { end += 1 }
      writer.u32(UInt32(end - i) | (end - i > 1 && step != 1 ? Self.descends : 0))
      writer.u32(queue[i])
      i = end
    }
    writer.u32(0)
  }

  private func readQueue(from reader: inout StateReader) throws(StateFailure) {
    var last: BlockID = 0
    var total: UInt32 = 0
    while true {
      let word = try reader.u32()
      if word == 0 { break }
      let length = word & ~Self.descends
      if length > capacity - total { throw reader.failure("the queue is longer than the pool") }
      total += length
      var id = try reader.u32("a block", 1, through: capacity)
      let room = word == length ? capacity - id + 1 : id
      if length > room { throw reader.failure("a run of the queue leaves the pool") }
      for _ in 0..<length {
        records[Int(last)].next = id
        records[Int(id)].previous = last
        last = id
        id = word == length ? id &+ 1 : id &- 1
      }
    }
    records[Int(last)].next = 0
    records[0].previous = last
  }

  // MARK: Rounded runs

  /// What held blocks have in the place of links; `takeRun` says what it means.
  private struct Rounding: BitwiseCopyable {
    var id: BlockID
    var next: UInt32
    var previous: UInt32
  }

  private func writeRounding(to writer: StateWriter) {
    writer.section("RUND")
    let ids = (1...capacity).filter {
      let record = records[Int($0)]
      return record.next != 0 && (record.refCount > 0 || record.pins > 0)
    }
    writer.u32(UInt32(ids.count))
    for id in ids {
      writer.u32(id)
      writer.u32(records[Int(id)].next)
      writer.u32(records[Int(id)].previous)
    }
  }

  private func readRounding(from reader: inout StateReader) throws(StateFailure) -> [Rounding] {
    try reader.section("RUND")
    var list: [Rounding] = []
    let count = try reader.count("rounded blocks", bytesEach: 12)
    if count > 0 && !strategy.needsRuns {
      throw reader.failure("the strategy rounds nothing up")
    }
    for _ in 0..<count {
      let id = try reader.u32("a block", (list.last?.id ?? 0) + 1, through: capacity)
      if records[Int(id)].refCount == 0 && records[Int(id)].pins == 0 {
        throw reader.failure("block \(id) is free and in a rounded run")
      }
      let next = try reader.u32("an order", 1, through: 29)
      let previous = try reader.u32("blocks of a run", through: capacity)
      list.append(Rounding(id: id, next: next, previous: previous))
    }
    return list
  }

  // MARK: Raw holds beyond the one that a record can name

  /// The map has no order of its own: by block, then by session.
  private func writeHolds(to writer: StateWriter) {
    var entries: [WideMap.Entry] = []
    entries.reserveCapacity(sharedHolds.count)
    sharedHolds.forEach { entries.append($0) }
    entries.sort { $0.a == $1.a ? $0.b < $1.b : $0.a < $1.a }
    writer.u32(UInt32(entries.count))
    for entry in entries {
      writer.u32(UInt32(entry.a))
      writer.u32(entry.b)
      writer.u32(entry.value)
    }
  }

  private func readHolds(
    from reader: inout StateReader, sessions: UInt32
  ) throws(StateFailure) {
    var block: BlockID = 0
    var last: UInt32 = 0
    var references: UInt64 = 0
    for _ in 0..<(try reader.count("holds", bytesEach: 12)) {
      let id = try reader.u32("a block", 1, through: capacity)
      let session = try reader.u32()
      let count = try reader.u32("references", 1, through: Self.maximumReferences)
      if session >= sessions { throw reader.failure("session \(session) holds and has no slot") }
      if id < block || (id == block && session <= last) {
        throw reader.failure("the holds of block \(id) come out of order")
      }
      references = UInt64(count) + (id == block ? references : 0)
      block = id
      last = session
      if references > UInt64(Self.maximumReferences) {
        throw reader.failure("block \(id) has too many references")
      }
      sharedHolds.set(UInt64(id), session, to: count)
    }
  }
}
