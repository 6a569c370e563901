internal import KVBlocks

/// A step: who has finished goes, who runs grows, who has come gets in line.
extension TraceReplay {
  /// The first part of a step: who has finished goes, who runs grows, who has come gets in line.
  func step(_ interval: UInt64) {
    if running.isEmpty && waiting.isEmpty && ended.isEmpty {
      // The first step at or after the next arrival.
      let arrival = trace.requests[next].arrival
      now = max(now, (arrival + interval - 1) / interval * interval)
    }
    if !ended.isEmpty {
      free()
      // The others with the next piece, in the same step.
      if !ended.isEmpty { return }
    }
    let preempted = decode()
    while next < trace.requests.count, trace.requests[next].arrival <= now {
      waiting.append(Int32(next))
      next += 1
    }
    if preempted || waiting.isEmpty {
      endStep(interval)
    } else {
      isAdmitting = true
    }
  }

  /// The tables of some who have ended.
  private func free() {
    var blocks: UInt64 = 0
    var count = 0
    while count < min(ended.count, Self.sequencesAtOnce) && blocks < Self.blocksAtOnce {
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

  /// One more token for each that runs. Returns whether any were preempted.
  private func decode() -> Bool {
    if running.isEmpty { return false }
    note(sequences: running.count)
    hashes.removeAll(keepingCapacity: true)
    hashCounts.removeAll(keepingCapacity: true)
    ids.removeAll(keepingCapacity: true)
    for index in running {
      let i = Int(index)
      ids.append(SequenceID(i + 1))
      let before = hashes.count
      if caches, var life = lives[i], (life.known + 1) % UInt64(blockSize) == 0 {
        trace.hashes(
          of: i, tokens: life.known + 1, blockSize: blockSize,
          from: life.known / UInt64(blockSize), state: &life.hash, into: &hashes)
        lives[i]?.hash = life.hash
      }
      hashCounts.append(UInt32((hashes.count - before) / 2))
    }
    ids.withUnsafeBufferPointer { ids in
      hashes.withUnsafeBytes { raw in
        hashCounts.withUnsafeBufferPointer { counts in
          apply([
            Operation(
              .decode(
                Decode(
                  sequences: ids, blockHashes: raw.bindMemory(to: UInt8.self),
                  hashCounts: hashes.isEmpty ? .init(start: nil, count: 0) : counts)),
              onRefusal: .preempt)
          ])
        }
      }
    }
    let decoded = outcome.results[0]
    if decoded.refusal.reason != .none {
      // Nothing is known that the pool refuses as a whole; were there anything, a trace from anywhere must
      // not bring down who plays it: those who run end with what they have.
      result.neverFit += UInt64(running.count)
      for index in running { end(Int(index)) }
      running.removeAll(keepingCapacity: true)
      return false
    }
    let preempted = Set(outcome.preempted.elements(decoded.preempted))
    let refused = Set(outcome.refusedIndexes.elements(decoded.refusedIndexes))
    let counts = outcome.counts.elements(decoded.counts)
    var kept: [Int32] = []
    var back: [Int32] = []
    kept.reserveCapacity(running.count)
    for (place, index) in running.enumerated() {
      let i = Int(index)
      let count = counts.isEmpty ? 0 : counts[place]
      lives[i]?.known += 1
      known += 1
      let taken = rounded(count)
      lives[i]?.blocks += taken
      held += UInt64(taken)
      if preempted.contains(SequenceID(i + 1)) {
        forgetTable(i)
        back.append(index)
      } else if refused.contains(UInt32(place)) {
        // Alone and still too large: it cannot be finished in this pool.
        result.neverFit += 1
        end(i)
      } else if !hasEnded(i) {
        kept.append(index)
      }
    }
    running = kept
    // Whoever was admitted first is at the head of the line again.
    waiting.insert(contentsOf: back, at: waitingHead)
    return !preempted.isEmpty
  }

  /// Its table is no more; its tokens are to be computed again.
  private func forgetTable(_ i: Int) {
    guard let life = lives[i] else { preconditionFailure("preempted what does not live") }
    held -= UInt64(life.blocks)
    known -= life.known
    lives[i]?.blocks = 0
  }

  private func end(_ i: Int) {
    ended.append(SequenceID(i + 1))
    endedBlocks.append(lives[i]?.blocks ?? 0)
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
