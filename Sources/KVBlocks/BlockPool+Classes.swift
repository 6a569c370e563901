/// Blocks of several sizes in one pool: ids run on from class to class, and each class has a split of
/// its own, free blocks and cached ones.
///
/// The records, the references, the holds and the contents are those of any pool. Only who is handed
/// out next is decided class by class. A pool without classes never gets here.
extension BlockPool {
  /// The parts of a class; the rest of its blocks is active.
  struct PartCounts: Equatable, BitwiseCopyable {
    var free: UInt32 = 0
    var cached: UInt32 = 0
    var shared: UInt32 = 0
    var pinned: UInt32 = 0
    /// Of the free and the cached ones, those whose free waits for its batch.
    var pendingFree: UInt32 = 0
    var pendingCached: UInt32 = 0
  }

  func available(inClass index: UInt8) -> UInt32 {
    partCounts[Int(index)].free + partCounts[Int(index)].cached
  }

  /// What is taken from here on is of this class.
  func use(_ index: UInt8) { split = parts[Int(index)] }

  /// Free blocks of the class at hand.
  var freeInClass: UInt32 {
    parts.firstIndex { $0 === split }.map { partCounts[$0].free } ?? counters.free
  }

  var cachedInClass: UInt32 {
    parts.firstIndex { $0 === split }.map { partCounts[$0].cached } ?? counters.cached
  }

  /// Ids of the class at hand, or of all blocks.
  var idsInClass: ClosedRange<BlockID> {
    parts.isEmpty
      ? 1...capacity : parts.firstIndex { $0 === split }.map { ids(ofClass: $0) } ?? 1...capacity
  }

  /// Ids of a class.
  func ids(ofClass index: Int) -> ClosedRange<BlockID> {
    let before = classes[..<index].reduce(0) { $0 + $1.blocks }
    return before + 1...before + classes[index].blocks
  }

  /// Where the lists of free and cached blocks of a class begin and end, behind all blocks.
  func sentinels(ofClass index: Int) -> (free: BlockID, cached: BlockID) {
    let first = capacity + 2 + 2 * UInt32(index)
    return (first, first + 1)
  }

  /// The split that a block belongs to.
  @inline(__always)
  func part(of id: BlockID, _ split: SplitBlocks) -> SplitBlocks {
    parts.isEmpty ? split : parts[Int(records[Int(id)].sizeClass)]
  }

  /// A block joined a part of its class, or left it.
  @inline(__always)
  func countPart(
    _ id: BlockID, free: Int32 = 0, cached: Int32 = 0, shared: Int32 = 0, pinned: Int32 = 0
  ) {
    if hasClasses { count(id, free, cached, shared, pinned) }
  }

  @inline(never)
  private func count(
    _ id: BlockID, _ free: Int32, _ cached: Int32, _ shared: Int32, _ pinned: Int32
  ) {
    let index = Int(records[Int(id)].sizeClass)
    partCounts[index].free &+= UInt32(bitPattern: free)
    partCounts[index].cached &+= UInt32(bitPattern: cached)
    partCounts[index].shared &+= UInt32(bitPattern: shared)
    partCounts[index].pinned &+= UInt32(bitPattern: pinned)
  }

  /// A block that waits for its batch is counted, or (`change` = -1) no more.
  func countPending(_ id: BlockID, hasContent: Bool, _ change: Int32) {
    if parts.isEmpty { return }
    let index = Int(records[Int(id)].sizeClass)
    let change = UInt32(bitPattern: change)
    if hasContent {
      partCounts[index].pendingCached &+= change
    } else {
      partCounts[index].pendingFree &+= change
    }
  }

  func countNothingPending() {
    for i in partCounts.indices {
      partCounts[i].pendingFree = 0
      partCounts[i].pendingCached = 0
    }
  }

  /// Free and available blocks of the class at hand, or of a pool without classes, that do not wait.
  func placed(_ lazy: LazyFrees) -> (free: UInt32, available: UInt32) {
    guard let counts = parts.firstIndex(where: { $0 === split }).map({ partCounts[$0] }) else {
      return (counters.free - lazy.free, available - lazy.count)
    }
    let free = counts.free - counts.pendingFree
    return (free, free + counts.cached - counts.pendingCached)
  }

  /// Everything is free, each class in the order of its ids.
  func makeParts() {
    if classes.isEmpty { return }
    for index in classes.indices {
      for id in ids(ofClass: index) { records[Int(id)].sizeClass = UInt8(index) }
    }
    deal(Array(1...capacity))
  }

  /// Available blocks into the splits of their classes, in the order of the list.
  func deal(_ queue: [BlockID]) {
    parts = classes.indices.map { place in
      let ends = sentinels(ofClass: place)
      let free = FreeQueue(
        sentinel: ends.free, capacity: capacity, records: records, undo: undo)
      free.removeAll()
      return SplitBlocks(
        free: free,
        cached: EvictionOrder(
          .lru, capacity: capacity, records: records, index: index, undo: undo,
          sentinel: ends.cached))
    }
    partCounts = Array(repeating: PartCounts(), count: classes.count)
    records[0].previous = 0
    records[0].next = 0
    for id in queue {
      records[Int(id)].previous = 0
      records[Int(id)].next = 0
    }
    for id in queue {
      let part = parts[Int(records[Int(id)].sizeClass)]
      if records[Int(id)].twin != 0 {
        part.cached.insert(id)
        countPart(id, cached: 1)
      } else {
        part.free.insert(id, after: lastDealt(part))
        countPart(id, free: 1)
      }
    }
    for id in 1...capacity {
      let record = records[Int(id)]
      if record.holder == .pending {
        let hasContent = record.twin != 0
        countPart(id, free: hasContent ? 0 : 1, cached: hasContent ? 1 : 0)
        countPending(id, hasContent: hasContent, 1)
      }
      countPart(
        id, shared: record.refCount > 1 ? 1 : 0,
        pinned: record.refCount == 0 && record.pins > 0 ? 1 : 0)
    }
    split = parts[0]
  }

  private func lastDealt(_ part: SplitBlocks) -> BlockID {
    guard let queue = part.free as? FreeQueue else { return 0 }
    return queue.last
  }

  /// The blocks of a list of frees go before the others of their class and keep their order: the one
  /// of its class that `id` comes after. `last` is 0 for the first block of the list.
  func lastOfClass(before id: BlockID, _ last: BlockID) -> BlockID {
    if lastGivenBack.count != parts.count {
      lastGivenBack = Array(repeating: 0, count: parts.count)
    } else if last == 0 {
      for i in lastGivenBack.indices { lastGivenBack[i] = 0 }
    }
    let index = Int(records[Int(id)].sizeClass)
    defer { lastGivenBack[index] = id }
    return lastGivenBack[index]
  }

  /// Whether each block is of the class that its id is in.
  func checkClassesOfBlocks() -> String? {
    if classes.isEmpty {
      for id in 1...capacity where records[Int(id)].sizeClass != 0 {
        return "block \(id) is of a size class and there are none"
      }
      return nil
    }
    for index in classes.indices {
      for id in ids(ofClass: index) where Int(records[Int(id)].sizeClass) != index {
        return "block \(id) is of another size class than its id"
      }
    }
    return nil
  }

  /// What is wrong with the classes; nil when nothing is.
  func checkParts() -> String? {
    if let wrong = checkClassesOfBlocks() { return wrong }
    var pending = Array(repeating: PartCounts(), count: parts.count)
    for id in 1...capacity where !parts.isEmpty && records[Int(id)].holder == .pending {
      let index = Int(records[Int(id)].sizeClass)
      if records[Int(id)].twin == 0 {
        pending[index].pendingFree += 1
      } else {
        pending[index].pendingCached += 1
      }
    }
    for index in parts.indices {
      let part = parts[index]
      let free = part.free.list()
      let cached = part.cached.victims()
      if let wrong = part.free.check() ?? part.cached.check() { return wrong }
      let counts = partCounts[index]
      if counts.pendingFree != pending[index].pendingFree
        || counts.pendingCached != pending[index].pendingCached
        || free.count != Int(counts.free) - Int(counts.pendingFree)
        || cached.count != Int(counts.cached) - Int(counts.pendingCached)
      {
        return "the available blocks of class \(index + 1) are counted wrongly"
      }
      for id in free + cached where Int(records[Int(id)].sizeClass) != index {
        return "block \(id) queues up with another size class"
      }
    }
    return nil
  }
}
