internal import KVBlocks

/// Who gets in from the line.
extension TraceReplay {
  /// A piece of the second part of a step: some of the line get in, up to the first that does not fit.
  func admit() {
    guard case .steps(let interval) = pace else { return }
    let first = waitingHead
    var operations: [Operation] = []
    var blocks: UInt64 = 0
    // Hashes of those that are new, one after the other; nothing may move while the command runs.
    hashes.removeAll(keepingCapacity: true)
    var ends: [Int] = []
    var last = first
    let room = Self.mostRunning - running.count - ended.count
    if room <= 0 || (isBusy && held + heldByEnded >= mostHeld) { return endStep(interval) }
    while last < waiting.count && ends.count < min(width, room) && blocks < blocksAtOnce {
      let i = Int(waiting[last])
      let tokens = lives[i]?.known ?? UInt64(trace.requests[i].input)
      blocks += max(tokens / UInt64(blockSize) + 1, UInt64(trace.requests[i].contents))
      if lives[i] == nil {
        var life = Life(known: tokens)
        if caches {
          trace.hashes(
            of: i, tokens: tokens, blockSize: blockSize, state: &life.hash, into: &hashes)
        }
        lives[i] = life
        // Marked as new by where its hashes end.
        ends.append(hashes.count)
      } else {
        ends.append(-1)
      }
      last += 1
    }
    note(sequences: ends.count, blocks: blocks)
    tried += UInt64(ends.count)
    hashes.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      var begin = 0
      for (place, end) in ends.enumerated() {
        let i = Int(waiting[first + place])
        let id = SequenceID(i + 1)
        if end < 0 {
          operations.append(Operation(.admit(Admit(sequence: id))))
          continue
        }
        let request = trace.requests[i]
        operations.append(
          Operation(
            .admit(
              Admit(
                sequence: id,
                add: AddSequence(
                  sequence: id, tokens: request.input,
                  // The last one is never fed back.
                  expectedTokens: UInt32(
                    clamping: UInt64(request.input) + UInt64(request.output) - 1),
                  blockHashes: UnsafeBufferPointer(rebasing: bytes[begin * 8..<end * 8])),
                keepsOnRefusal: true))))
        begin = end
      }
      apply(operations, stopsAtRefusal: true)
    }
    var isStopped = false
    for place in 0..<operations.count {
      let i = Int(waiting[first + place])
      let answer = outcome.results[place]
      switch answer.refusal.reason {
      case .none:
        waitingHead += 1
        begin(i, answer)
      case .later where isBusy, .noRun where isBusy:
        result.refusals += 1
        isStopped = true
      case .notAttempted:
        // It was not even added: it is new the next time, too.
        if ends[place] >= 0 { lives[i] = nil }
        isStopped = true
      default:
        // What never fits, even alone, goes, and the others have their turn.
        waitingHead += 1
        result.neverFit += 1
        if isAdded(i) {
          ended.append(SequenceID(i + 1))
          endedBlocks.append(0)
        }
        lives[i] = nil
        for later in place + 1..<operations.count where ends[later] >= 0 {
          lives[Int(waiting[first + later])] = nil
        }
        return
      }
    }
    // After a refusal the head alone, then more and more: what is hashed for those behind it, and thrown
    // away, is in proportion to what gets in.
    width = isStopped ? 1 : min(width * 2, Self.sequencesAtOnce)
    if isStopped || waitingHead == waiting.count { endStep(interval) }
  }

  /// Whether anything will come back that an admission could wait for.
  private var isBusy: Bool { !running.isEmpty || !ended.isEmpty }

  /// Whether the pool has it, from an admission that was refused.
  private func isAdded(_ i: Int) -> Bool {
    pool.arrival(session: 0, sequence: SequenceID(i + 1)) != nil
  }

  private func begin(_ i: Int, _ answer: OperationResult) {
    guard let life = lives[i] else { preconditionFailure("admitted what does not live") }
    if life.generated == 0 {
      waits += Double(now - trace.requests[i].arrival)
      admitted += 1
    }
    let blocks =
      rounded(answer.newBlocks.count) + answer.cachedBlocks.count + answer.nullBlocks
    lives[i]?.blocks = blocks
    held += UInt64(blocks)
    known += life.known
    if !hasEnded(i) { running.append(Int32(i)) }
  }
}
