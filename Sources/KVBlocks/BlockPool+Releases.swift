/// References given back: vLLM's `free_blocks`.
extension BlockPool {
  /// Drops one reference to each of `count` blocks, from `first` on in steps of `stride`: one
  /// `free_blocks` of vLLM. On its way to 0, and only then, a block is classified.
  ///
  /// `holder` and `cause` are for the log.
  ///
  /// - Returns: How many blocks became available.
  /// - Complexity: O(`count`), no memory is allocated.
  @inline(__always)
  @discardableResult
  func dropReferences(
    _ first: UnsafePointer<BlockID>, _ count: Int, stride: Int = 1, by holder: Holder = .none,
    _ cause: ChangeLog.Cause = .free
  ) -> UInt32 {
    if hasDetour { return dropByDetour(first, count, stride, holder, cause) }
    return dropToQueue(first, count, stride)
  }

  /// `dropReferences` where one queue has all available blocks.
  @inline(__always)
  func dropToQueue(_ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int) -> UInt32 {
    if undo.isRecording { save(first, count, stride) }
    let records = self.records
    let oldHead = records[0].next
    var others = Others()
    var last: BlockID = 0
    var freed: UInt32 = 0
    var place = first
    for _ in 0..<count {
      let id = place.pointee
      place += stride
      let record = records + Int(id)
      if record.pointee.refCount == 1 && record.pointee.pins == 0 && record.pointee.twin == 0 {
        record.pointee.refCount = 0
        record.pointee.holder = .none
        record.pointee.previous = last
        // For the first one this is the sentinel, whose `next` is the queue's new head.
        records[Int(last)].next = id
        last = id
        freed &+= 1
      } else {
        drop(id, &others)
      }
    }
    if freed > 0 { spliceFront(last, oldHead) }
    // Before `freed` is taken off: blocks may have become active only in here.
    let cached = others.isEmpty ? 0 : finish(others)
    counters.free += freed
    counters.active -= freed
    counters.freedBlocks += UInt64(freed)
    counters.releasedReferences += UInt64(count)
    return freed + cached
  }

  /// Frees blocks that the session in `slot` alone holds, raw and once each: the common case, in one
  /// pass instead of two.
  ///
  /// - Returns: False, and nothing changed, when one of them is anything else. The caller then takes
  ///   the long way, which also says what is wrong.
  @inline(__always)
  func freeExclusive(_ first: UnsafePointer<BlockID>, _ count: Int, heldBy slot: UInt32) -> Bool {
    if undo.isRecording || hasDetour { return freeExclusiveByDetour(first, count, slot) }
    return freeAlone(first, count, slot)
  }

  /// The same where somebody follows, and nothing else is unusual.
  @inline(never)
  private func freeExclusiveByDetour(
    _ first: UnsafePointer<BlockID>, _ count: Int, _ slot: UInt32
  ) -> Bool {
    if undo.isRecording || split != nil || lazy != nil { return false }
    guard freeAlone(first, count, slot) else { return false }
    undo.touch(first, count)
    if logsReferences { log.note(.released, .free, by: .raw(slot), first, count, of: self) }
    return true
  }

  @inline(__always)
  private func freeAlone(
    _ first: UnsafePointer<BlockID>, _ count: Int, _ slot: UInt32
  ) -> Bool {
    let records = self.records
    let capacity = self.capacity
    let holder = Holder.raw(slot)
    let oldHead = records[0].next
    var last: BlockID = 0
    var i = 0
    while i < count {
      let id = first[i]
      let record = records + Int(id)
      // A block named twice has no holder any more the second time.
      guard
        id &- 1 < capacity && record.pointee.holder == holder && record.pointee.pins == 0
          && record.pointee.twin == 0
      else { break }
      record.pointee.refCount = 0
      record.pointee.holder = .none
      record.pointee.previous = last
      records[Int(last)].next = id
      last = id
      i &+= 1
    }
    if i < count {
      takeBack(first, i, holder, oldHead)
      return false
    }
    if last != 0 { spliceFront(last, oldHead) }
    counters.free += UInt32(count)
    counters.active -= UInt32(count)
    counters.freedBlocks += UInt64(count)
    counters.releasedReferences += UInt64(count)
    return true
  }

  @inline(never)
  private func takeBack(
    _ first: UnsafePointer<BlockID>, _ count: Int, _ holder: Holder, _ head: BlockID
  ) {
    for i in 0..<count {
      let record = records + Int(first[i])
      record.pointee.refCount = 1
      record.pointee.holder = holder
      record.pointee.previous = 0
      record.pointee.next = 0
    }
    records[0].next = head
  }

  /// The blocks of a `dropReferences` that take the slower way.
  struct Others {
    var tailFirst: BlockID = 0
    var tailLast: BlockID = 0
    var cached: UInt32 = 0
    var unshared: UInt32 = 0
    var pinned: UInt32 = 0
    var isEmpty = true
  }

  @inline(never)
  private func drop(_ id: BlockID, _ others: inout Others) {
    others.isEmpty = false
    let record = records + Int(id)
    precondition(record.pointee.refCount > 0, "released a block that nobody holds")
    record.pointee.refCount -= 1
    if record.pointee.refCount > 0 {
      if record.pointee.refCount == 1 { others.unshared += 1 }
      return
    }
    record.pointee.holder = .none
    if record.pointee.pins > 0 {
      others.pinned += 1
      return
    }
    appendToTail(id, &others)
  }

  /// A block with a hash goes behind all others: it may be hit until it is taken.
  func appendToTail(_ id: BlockID, _ others: inout Others) {
    others.cached += 1
    records[Int(id)].previous = others.tailLast
    if others.tailLast == 0 {
      others.tailFirst = id
    } else {
      records[Int(others.tailLast)].next = id
    }
    others.tailLast = id
  }

  @inline(never)
  func finish(_ others: Others) -> UInt32 {
    if others.tailLast != 0 {
      let tail = records[0].previous
      save(tail)
      records[Int(tail)].next = others.tailFirst
      records[Int(others.tailFirst)].previous = tail
      records[Int(others.tailLast)].next = 0
      records[0].previous = others.tailLast
    }
    counters.shared -= others.unshared
    counters.active += others.unshared
    counters.active -= others.cached + others.pinned
    counters.pinned += others.pinned
    counters.cached += others.cached
    counters.freedBlocks += UInt64(others.cached)
    return others.cached
  }

  /// The chain from the sentinel to `last` goes before what was the head of the queue.
  @inline(__always)
  func spliceFront(_ last: BlockID, _ oldHead: BlockID) {
    records[Int(last)].next = oldHead
    records[Int(oldHead)].previous = last
  }

  @inline(never)
  private func save(_ first: UnsafePointer<BlockID>, _ count: Int, _ stride: Int) {
    save(0)
    save(records[0].next)
    for i in 0..<count { save(first[i * stride]) }
  }
}
