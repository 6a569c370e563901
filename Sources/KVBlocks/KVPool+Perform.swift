/// The operations of a command, one after the other.
extension KVPool {
  /// Performs the operations in order. Returns the refusal that aborts the command, if one does, and
  /// the index of the operation it is of.
  func performAll(
    _ command: Command, _ outcome: Outcome
  ) -> (refusal: Refusal, index: Int)? {
    var isStopped = false
    // Filled where they stay: a result is larger than what most operations do.
    let results = outcome.results.extend(by: command.operations.count)
    for i in 0..<command.operations.count {
      let result = results + i
      result.initialize(to: OperationResult())
      if isStopped {
        result.pointee.refusal = Refusal(.notAttempted)
      } else {
        let operation = command.operations.baseAddress.unsafelyUnwrapped + i
        var mode = operation.pointee.onRefusal
        if mode == .inherit { mode = command.onRefusal }
        let allocated = blocks.counters.allocatedBlocks
        let released = blocks.counters.releasedReferences
        let evicted = blocks.counters.evictions
        if searchedMoves != nil { finishMoves(before: operation) }
        useClass(0)
        do throws(Refusal) {
          if operation.pointee.problem.reason != .none { throw operation.pointee.problem }
          try perform(operation, mode, &result.pointee, outcome)
          if let dirty { markHandedOut(dirty, &result.pointee, outcome) }
        } catch {
          result.pointee.refusal = isOfHost(operation.pointee.kind) ? error : named(error)
        }
        if blocks.counters.allocatedBlocks != allocated { activity.allocateCalls += 1 }
        if blocks.counters.releasedReferences != released { activity.freeCalls += 1 }
        result.pointee.evictedBlocks = UInt32(blocks.counters.evictions - evicted)
        if result.pointee.refusal.reason != .none || result.pointee.firstRefusal.reason != .none {
          if mode == .abort {
            let whole = result.pointee.refusal
            return (whole.reason != .none ? whole : result.pointee.firstRefusal, i)
          }
          isStopped = mode == .stop || (mode == .preempt && operation.pointee.kind.isAdmission)
        }
      }
      result.pointee.availableBlocks = blocks.available
    }
    if searchedMoves != nil { finishMoves() }
    return nil
  }

  private func perform(
    _ operation: UnsafePointer<Operation>, _ mode: OnRefusal, _ result: inout OperationResult,
    _ outcome: Outcome
  ) throws(Refusal) {
    if operation.pointee.isAllocate {
      return try allocate(operation.pointee.allocateCount, &result, outcome)
    }
    switch operation.pointee.kind {
    case .allocate: return
    case .place(let request): try place(request, &result, outcome)
    case .freeBlocks(let ids, let generations): try freeBlocks(ids, generations, &result)
    case .forkBlocks(let ids, let generations): try forkBlocks(ids, generations, &result, outcome)
    case .copyOnWrite(let id, let filled): try copyOnWrite(id, filled, &result, outcome)
    case .acknowledgeCopies(let ids, let upTo): try acknowledgeCopies(ids, upTo, &result)
    case .add(let new): try add(new, &result)
    case .admit(let new): try admit(new, &result, outcome)
    case .extend(let request): try extend(request, mode, &result, outcome)
    case .append(let id, let tokens, let hashes, let ids):
      try append(id, tokens, hashes, ids, &result)
    case .commit(let id, let tokens): try commit(id, tokens, &result)
    case .fork(let parent, let children): try fork(parent, children, &result)
    case .rewind(let request): try rewind(request, &result)
    case .preempt(let ids): try preempt(ids, &result)
    case .swapOut(let ids): try swapOut(ids, &result, outcome)
    case .swapIn(let ids): try swapIn(ids, &result, outcome)
    case .applyDefragment(let planned, let moves):
      try applyDefragment(planned, moves, &result, outcome)
    case .freeSequences(let ids, let ignores): try freeSequences(ids, ignores, &result)
    case .reserve(let request): try reserve(request, &result)
    case .flush: flush(&result)
    case .recover(let request): try recover(request, &result, outcome)
    case .decode(let columns): try decode(columns, mode, &result, outcome)
    case .acquire(let hashes, let count, let sizeClass):
      try acquire(hashes, count, sizeClass: sizeClass, &result, outcome)
    case .cacheBlocks(let ids, let hashes, let parent):
      try cacheBlocks(ids, hashes, parent, &result)
    case .evictBlocks(let ids): try evictBlocks(ids, &result)
    case .resetPrefixCache(let preempts): try resetPrefixCache(preempts, &result, outcome)
    case .updatePool(let update): try updatePool(update)
    case .pin(let request): try pin(request, &result)
    }
  }
}
