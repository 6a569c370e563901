/// Split mode: the free blocks, those without content, in a strategy's order, the cached ones in a
/// policy's. An allocation takes free blocks first; then the policy names victims until it is placed.
///
/// A pool with another strategy than `freeQueue`, or another policy than `lru`, has these two. The
/// default pool has one queue instead and never gets here.
final class SplitBlocks {
  let free: FreeBlocks
  let cached: EvictionOrder

  init(free: FreeBlocks, cached: EvictionOrder) {
    self.free = free
    self.cached = cached
  }

  /// Bytes beside the records.
  var memory: Int { free.memory + cached.memory }
}

extension BlockPool {
  /// From one queue to two structures. Free blocks keep their order where the strategy has one; the
  /// cached ones come to the policy in the order they had. O(blocks).
  package func split(by strategy: AllocationStrategy, _ eviction: EvictionPolicy = .lru) {
    let split = split(by: strategy, eviction, linking: freeQueue())
    split.cached.rankAll()
    self.split = split
  }

  /// The same for available blocks in any order; the policy is still to be told what they are worth.
  func split(
    by strategy: AllocationStrategy, _ eviction: EvictionPolicy, linking queue: [BlockID]
  ) -> SplitBlocks {
    let free: FreeBlocks =
      switch strategy {
      case .freeQueue: FreeQueue(capacity: capacity, records: records, undo: undo)
      case .buddy: BuddyBlocks(capacity: capacity, records: records, undo: undo)
      case .bestFit:
        FreeRuns(picksSmallest: true, capacity: capacity, records: records, undo: undo)
      case .firstFit, .contiguousMax, .contiguousPowerOfTwo, .contiguousExact:
        FreeRuns(
          picksSmallest: false, needsRuns: strategy.needsRuns, capacity: capacity, records: records,
          undo: undo)
      }
    clearLinks(queue)
    let split = SplitBlocks(free: free, cached: makeOrder(eviction))
    var last: BlockID = 0
    for id in queue {
      if records[Int(id)].twin != 0 {
        split.cached.link(id)
      } else {
        split.free.insert(id, after: last)
        last = id
      }
    }
    return split
  }

  func makeOrder(_ policy: EvictionPolicy) -> EvictionOrder {
    EvictionOrder(policy, capacity: capacity, records: records, index: index, undo: undo)
  }

  /// As created. The records are as those of a default pool.
  func makeAllFree(_ split: SplitBlocks) {
    clearLinks(1...capacity)
    split.free.insertAll()
    split.cached.removeAll()
  }

  private func clearLinks(_ ids: some Sequence<BlockID>) {
    for end in [0, capacity + 1] {
      records[Int(end)].previous = 0
      records[Int(end)].next = 0
    }
    for id in ids {
      records[Int(id)].previous = 0
      records[Int(id)].next = 0
    }
  }

  // MARK: Taking

  /// `take` in split mode. Where the strategy needs runs the caller has asked `canPlaceRun`.
  @inline(never)
  func take(
    _ split: SplitBlocks, _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    if count == 0 { return }
    if split.free.needsRuns {
      guard let start = split.free.run(of: count, &searched), start != 0 else {
        preconditionFailure("took a run where there is none")
      }
      return takeRun(split, start, count, for: holder, generation: generation, into: room)
    }
    let fresh = min(count, parts.isEmpty ? counters.free : freeInClass)
    if fresh > 0 { split.free.choose(fresh, into: room, &searched) }
    for i in 0..<Int(count) {
      if i >= Int(fresh) { room[i] = evictNext(split, .handOut, for: holder) }
      save(room[i])
      split.free.remove(room[i])
      countPart(room[i], free: -1)
      handOut(room[i], to: holder, generation)
    }
    countTaken(count)
    if logsReferences { log.note(.handedOut, by: holder, room, Int(count), of: self) }
  }

  /// Evicts whom the policy names. Returns the block, which is now free.
  func evictNext(
    _ split: SplitBlocks, _ cause: ChangeLog.Cause, for holder: Holder = .none
  ) -> BlockID {
    precondition(counters.cached > 0, "evicted where nothing is cached")
    let id = split.cached.victim()
    // Each takes as long as eight places of a search, or longer.
    searched += 8 * UInt64(split.cached.passedOver)
    evict(id, cause, for: holder)
    countEviction(by: split.cached.policy)
    return id
  }

  func countEviction(by policy: EvictionPolicy) {
    switch policy {
    case .lru: break
    case .lfu: counters.lfuEvictions += 1
    case .s3FIFO: counters.s3FIFOEvictions += 1
    case .priority: counters.priorityEvictions += 1
    }
  }

  /// Takes the adjacent blocks from `start` on, which are free.
  ///
  /// A strategy may round them up. Then every block of the run has in `next`, while it is held, 1 +
  /// the run's order, and the last one in `previous` how many of the blocks asked for are still held:
  /// with the last of them the rest comes back too. Links are 0 otherwise while a block is held.
  func takeRun(
    _ split: SplitBlocks, _ start: BlockID, _ count: UInt32, for holder: Holder, generation: UInt32,
    into room: UnsafeMutablePointer<BlockID>
  ) {
    let whole = split.free.rounded(count)
    for id in start..<start + whole { save(id) }
    split.free.removeRun(start, whole)
    countPart(start, free: -Int32(whole))
    for i in 0..<whole {
      let id = start + i
      handOut(id, to: i < count ? holder : .rounding, generation)
      if i < count { room[Int(i)] = id }
      if whole > count { records[Int(id)].next = UInt32(1 + BuddyBlocks.order(of: whole)) }
    }
    if whole > count { records[Int(start + whole - 1)].previous = count }
    counters.rounding += whole - count
    countTaken(whole)
    if logsReferences {
      log.note(.handedOut, by: holder, room, Int(count), of: self)
      log.note(.handedOut, .rounding, from: start + count, whole - count, of: self)
    }
  }

  func handOut(_ id: BlockID, to holder: Holder, _ generation: UInt32) {
    let record = records + Int(id)
    assert(record.pointee.refCount == 0 && record.pointee.pins == 0, "a used block was free")
    record.pointee.refCount = 1
    record.pointee.holder = holder
    record.pointee.generation = generation
    record.pointee.lastTouch = generation
  }

  func countTaken(_ count: UInt32) {
    counters.free -= count
    counters.active += count
    counters.allocatedBlocks += UInt64(count)
    counters.highWatermark = max(counters.highWatermark, capacity - available)
  }

  // MARK: Giving back

  /// `dropReferences` in split mode.
  @inline(never)
  func dropReferences(
    _ split: SplitBlocks, _ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int
  ) -> UInt32 {
    var last: BlockID = 0
    var freed: UInt32 = 0
    for i in 0..<count {
      let id = first[i * stride]
      if loseReference(id) { freed += makeAvailable(split, id, after: &last) }
    }
    counters.releasedReferences += UInt64(count)
    return freed
  }

  /// One reference fewer. Returns whether that leaves the block to nobody, neither held nor pinned: then
  /// it is saved, and counts as nothing until it is put where it belongs.
  @inline(__always)
  func loseReference(_ id: BlockID) -> Bool {
    save(id)
    let record = records + Int(id)
    precondition(record.pointee.refCount > 0, "released a block that nobody holds")
    record.pointee.refCount -= 1
    if record.pointee.refCount == 1 {
      counters.shared -= 1
      countPart(id, shared: -1)
      counters.active += 1
    }
    if record.pointee.refCount > 0 { return false }
    record.pointee.holder = .none
    counters.active -= 1
    if record.pointee.pins == 0 { return true }
    counters.pinned += 1
    countPart(id, pinned: 1)
    return false
  }

  /// A block without references and pins goes where it belongs. `last` is the one that went to the
  /// free blocks before it. The caller has saved it and counts what it was before.
  ///
  /// - Returns: How many blocks became available: the rest of a rounded run comes with its last one.
  func makeAvailable(_ split: SplitBlocks, _ id: BlockID, after last: inout BlockID) -> UInt32 {
    let order = records[Int(id)].next
    records[Int(id)].next = 0
    let split = part(of: id, split)
    if records[Int(id)].twin != 0 {
      split.cached.insert(id)
      counters.cached += 1
      countPart(id, cached: 1)
    } else {
      split.free.insert(id, after: parts.isEmpty ? last : lastOfClass(before: id, last))
      last = id
      countPart(id, free: 1)
      counters.free += 1
    }
    counters.freedBlocks += 1
    return order == 0 ? 1 : 1 + leaveRun(split, id, order: order - 1, &last)
  }

  /// One block fewer of a rounded run is held. With the last one its rest comes back.
  private func leaveRun(
    _ split: SplitBlocks, _ id: BlockID, order: UInt32, _ last: inout BlockID
  ) -> UInt32 {
    let first = ((id - 1) >> order) << order + 1
    var rest = first + 1 << order - 1
    save(rest)
    records[Int(rest)].previous -= 1
    if records[Int(rest)].previous > 0 { return 0 }
    var freed: UInt32 = 0
    // What came back of this run may have been rounded up again: the rest of that is not its rest.
    while rest >= first && records[Int(rest)].holder == .rounding
      && records[Int(rest)].next == order + 1
    {
      save(rest)
      records[Int(rest)].refCount = 0
      records[Int(rest)].holder = .none
      records[Int(rest)].previous = 0
      records[Int(rest)].next = 0
      split.free.insert(rest, after: last)
      last = rest
      freed += 1
      rest -= 1
    }
    if logsReferences { log.note(.released, .rounding, from: rest + 1, freed, of: self) }
    counters.rounding -= freed
    counters.active -= freed
    counters.free += freed
    counters.freedBlocks += UInt64(freed)
    return freed
  }

  // MARK: Undoing and checking

  /// After the records were put back: what the structures keep beside them follows.
  func restoreSplit() {
    guard let split else { return }
    for saved in undo.blocks.elements where saved.id >= 1 && saved.id <= capacity {
      split.free.restored(saved.id)
    }
  }

  /// What is wrong with the rounded runs; nil when nothing is. O(blocks): the blocks that are held of
  /// a run are counted once, at its last one. (That of runs within runs, which only a dump can claim,
  /// makes it O(blocks log blocks).)
  func checkRounding(_ split: SplitBlocks) -> String? {
    var rest: UInt32 = 0
    for id in 1...capacity {
      let record = records[Int(id)]
      if record.refCount == 0 && record.pins == 0 { continue }
      if record.holder == .rounding {
        if record.refCount != 1 || record.pins != 0 {
          return "block \(id) is the rest of a run, and somebody has it"
        }
        rest += 1
      }
      if record.next == 0 {
        if record.holder == .rounding || record.previous != 0 {
          return "block \(id) is in no run and says otherwise"
        }
        continue
      }
      let order = record.next - 1
      let first = ((id - 1) >> order) << order + 1
      let last = first + 1 << order - 1
      if last > capacity || records[Int(last)].holder != .rounding
        || records[Int(last)].next != record.next
      {
        return "block \(id) is in a rounded run without a rest"
      }
      if id < last { continue }
      var held: UInt32 = 0
      for other in first...last
      where records[Int(other)].next == record.next && records[Int(other)].holder != .rounding {
        let used = records[Int(other)]
        if used.refCount > 0 || used.pins > 0 { held += 1 }
      }
      if held == 0 || held != records[Int(last)].previous {
        return "\(held) blocks of the run behind \(first) are held"
      }
    }
    return rest == counters.rounding ? nil : "the rounding is counted wrongly"
  }
}
