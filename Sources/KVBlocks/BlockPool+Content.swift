/// Blocks and what they hold: the prefix cache's view of a pool.
extension BlockPool {
  /// The first block that was given this content and still has it; 0 = none. A lookup alone neither
  /// takes the block nor moves it in the queue.
  package func first(_ hash: BlockHash, group: UInt8 = 0) -> BlockID {
    index?.first(hash, group: group) ?? 0
  }

  /// The content of a block; nil = it has none that could be hit.
  package func content(_ id: BlockID) -> BlockHash? {
    guard let index, records[Int(id)].twin != 0 else { return nil }
    return index.hash(of: id)
  }

  /// Blocks with the content of `id`, from the first to be hit; empty where it has none.
  package func twins(of id: BlockID) -> [BlockID] {
    guard let hash = content(id) else { return [] }
    var ids: [BlockID] = []
    var next = first(hash, group: records[Int(id)].group)
    repeat {
      ids.append(next)
      next = records[Int(next)].twin
    } while next != ids[0]
    return ids
  }

  /// In the queue: taking it as a hit leaves one block less for others.
  @inline(__always)
  func isEvictable(_ id: BlockID) -> Bool {
    records[Int(id)].refCount == 0 && records[Int(id)].pins == 0
  }

  /// One reference to a block that was hit, vLLM's `touch`: out of the middle of the queue if nobody
  /// holds it. What leaves the queue is handed out, so its generation is new.
  package func touch(_ id: BlockID, for holder: Holder, generation: UInt32) {
    let record = records + Int(id)
    precondition(record.pointee.twin != 0, "hit a block without content")
    if let split { split.cached.hit(id) }
    if record.pointee.refCount > 0 {
      addReference(id, touch: generation)
      if holder.isRaw { addRawHold(id, by: holder.slot) }
      return
    }
    save(id)
    if record.pointee.pins > 0 {
      counters.pinned -= 1
      countPart(id, pinned: -1)
    } else {
      leave(id)
      countPart(id, cached: -1)
      counters.cached -= 1
      counters.allocatedBlocks += 1
    }
    counters.active += 1
    counters.highWatermark = max(counters.highWatermark, capacity - available)
    record.pointee.refCount = 1
    record.pointee.holder = holder
    record.pointee.generation = generation
    record.pointee.lastTouch = generation
  }

  /// Keeps a block with content from eviction: one pin more, out of the queue if nobody holds it.
  /// `dropPin` takes it back. Leaving the queue counts as being handed out, as by a hit.
  func pinContent(_ id: BlockID) {
    let record = records + Int(id)
    precondition(record.pointee.twin != 0, "kept a block without content")
    save(id)
    if isEvictable(id) {
      leave(id)
      countPart(id, cached: -1, pinned: 1)
      counters.cached -= 1
      counters.pinned += 1
      counters.allocatedBlocks += 1
      counters.highWatermark = max(counters.highWatermark, capacity - available)
    }
    record.pointee.pins += 1
  }

  /// A cached block leaves where it waits. The caller has saved it.
  private func leave(_ id: BlockID) {
    if records[Int(id)].holder == .pending {
      leavePending(id)
    } else if let split {
      part(of: id, split).cached.remove(id)
    } else {
      unlink(id)
    }
  }

  /// Takes a block out of the queue, wherever it is. The caller has saved it.
  func unlink(_ id: BlockID) {
    let record = records + Int(id)
    save(record.pointee.previous)
    save(record.pointee.next)
    records[Int(record.pointee.previous)].next = record.pointee.next
    records[Int(record.pointee.next)].previous = record.pointee.previous
    record.pointee.previous = 0
    record.pointee.next = 0
  }

  /// A held block now has this content and can be hit. Returns false, and nothing changed, where it
  /// has some already. Its group, in a pool of one, is its size class: the hash of a block does not
  /// tell its size, and blocks of different size never match.
  @discardableResult
  package func cache(_ id: BlockID, _ hash: BlockHash, group: UInt8? = nil) -> Bool {
    guard let index = unretainedIndex else {
      preconditionFailure("cached a block of a pool without a cache")
    }
    precondition(records[Int(id)].refCount > 0, "cached a block that nobody holds")
    if records[Int(id)].twin != 0 { return false }
    index._withUnsafeGuaranteedRef {
      $0.insert(id, hash, group: group ?? records[Int(id)].sizeClass)
    }
    return true
  }

  /// Blocks that have the content that was cached last. Only where there is a log, and O(1).
  var cachedCopies: UInt32 { index?.insertedCopies ?? 0 }

  /// A block loses its content: it keeps its references and its place in the queue (in split mode it
  /// joins the free blocks, as one that is given back). Returns false, and nothing changed, where it
  /// has none.
  @discardableResult
  package func forget(_ id: BlockID) -> Bool { forget(id, .request, for: .none) }

  @discardableResult
  func forget(_ id: BlockID, _ cause: ChangeLog.Cause, for holder: Holder) -> Bool {
    guard let index = unretainedIndex, records[Int(id)].twin != 0 else { return false }
    index._withUnsafeGuaranteedRef { index in
      let left = index.remove(id)
      if isLogging {
        log.noteEvicted(id, index.hash(of: id), copies: left, cause, for: holder, of: self)
      }
    }
    if isEvictable(id) {
      counters.cached -= 1
      counters.free += 1
      if records[Int(id)].holder == .pending {
        lazy?.cached -= 1
        countPart(id, free: 1, cached: -1)
        countPending(id, hasContent: true, -1)
        countPending(id, hasContent: false, 1)
      } else if let split {
        save(id)
        let split = part(of: id, split)
        split.cached.remove(id)
        split.free.insert(id, after: 0)
        countPart(id, free: 1, cached: -1)
      }
    }
    if let split { split.cached.forget(id) }
    return true
  }

  /// Bytes for each block: the record, its hash and its share of the index.
  package var memoryPerBlock: Double {
    let all =
      (Int(capacity) + 1) * Self.bytesPerBlock + (index?.memory ?? 0)
      + (split?.memory ?? 0)
    return Double(all) / Double(capacity)
  }
}
