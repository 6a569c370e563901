internal import KVBlocks

/// A step: who has finished goes, who runs grows, who has come gets in line.
extension TraceReplay {
  /// The first part of a step: who has finished goes, who runs grows, who has come gets in line.
  func step(_ interval: UInt64) {
    if turn == nil {
      if running.isEmpty && waiting.isEmpty && ended.isEmpty {
        // The first step at or after the next arrival.
        let arrival = trace.requests[next].arrival
        now = max(now, (arrival + interval - 1) / interval * interval)
      }
      // All of them before the others go on, in the same step.
      if !ended.isEmpty { return free() }
    }
    guard let hasPreempted = decode() else { return }
    while next < trace.requests.count, trace.requests[next].arrival <= now {
      waiting.append(Int32(next))
      next += 1
    }
    if hasPreempted || waiting.isEmpty {
      endStep(interval)
    } else {
      isAdmitting = true
    }
  }

  /// The tables of some who have ended.
  private func free() {
    var blocks: UInt64 = 0
    var count = 0
    while count < min(ended.count, Self.sequencesAtOnce) && blocks < blocksAtOnce {
      blocks += UInt64(endedBlocks[count])
      count += 1
    }
    note(sequences: count, blocks: blocks)
    ended.withUnsafeBufferPointer {
      apply([
        Operation(
          .freeSequences(UnsafeBufferPointer(rebasing: $0[..<count]), ignoresMissing: false))
      ])
    }
    precondition(outcome.results[0].refusal.reason == .none, "a sequence of a replay is gone")
    heldByEnded -= blocks
    ended.removeFirst(count)
    endedBlocks.removeFirst(count)
  }

  func endStep(_ interval: UInt64) {
    isAdmitting = false
    // Not in each step: what is behind moves up.
    if waitingHead * 2 >= waiting.count {
      waiting.removeFirst(waitingHead)
      waitingHead = 0
    }
    let stats = pool.stats()
    result.peakRunning = max(result.peakRunning, UInt32(running.count))
    if !running.isEmpty {
      weight += 1
      blockTime += Double(stats.blocks - stats.free - stats.cached - stats.lazyPending)
      slotTime += Double(held * UInt64(blockSize))
      wasteTime += Double(held * UInt64(blockSize) - known)
      runTime += Double(running.count)
    }
    now += interval
  }

  /// Its table is no more; its tokens are to be computed again.
  func forgetTable(_ i: Int) {
    guard let life = lives[i] else { preconditionFailure("preempted what does not live") }
    held -= UInt64(life.blocks)
    known -= life.known
    lives[i]?.blocks = 0
  }

  func end(_ i: Int) {
    ended.append(SequenceID(i + 1))
    let blocks = lives[i]?.blocks ?? 0
    endedBlocks.append(blocks)
    heldByEnded += UInt64(blocks)
    forgetTable(i)
    lives[i] = nil
    result.duration = now
  }

  /// A step has computed all that is known: one more token is sampled, or it is finished. It ends, too, where
  /// it has as many tokens as a sequence of the pool can have, though it wants more.
  func hasEnded(_ i: Int) -> Bool {
    lives[i]?.generated += 1
    guard let life = lives[i] else { preconditionFailure("what does not live has run") }
    if life.generated < trace.requests[i].output {
      if life.known < UInt64(pool.tokenLimit) { return false }
      result.neverFit += 1
    }
    end(i)
    return true
  }

  /// Blocks that the pool gives out for so many new ones of a table.
  func rounded(_ blocks: UInt32) -> UInt32 {
    if pool.configuration.strategy != .buddy || blocks <= 1 { return blocks }
    return 1 << (32 - UInt32((blocks - 1).leadingZeroBitCount))
  }
}
