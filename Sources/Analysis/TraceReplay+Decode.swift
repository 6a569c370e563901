internal import KVBlocks

/// One more token for each that runs.
///
/// For the pool it is one list whose victims are taken from its end. It is given in stretches where who is
/// preempted for it may hold many blocks: the outcome is the same, since who has had its turn is nobody's victim,
/// and each takes a block and each victim has one of its own at least (the last token of a prompt is never hit).
extension TraceReplay {
  /// Goes on with the list. Returns whether any were preempted, or nil where there is more to do.
  func decode() -> Bool? {
    let first = turn ?? 0
    if first < running.count { decode(first..<endOfStretch(from: first)) }
    if let turn, turn < running.count { return nil }
    turn = nil
    // Whoever was admitted first is at the head of the line again.
    let back = running.filter { lives[Int($0)]?.isPreempted ?? false }
    running.removeAll { lives[Int($0)]?.isPreempted ?? true }
    for index in back { lives[Int(index)]?.isPreempted = false }
    waiting.insert(contentsOf: back, at: waitingHead)
    return !back.isEmpty
  }

  /// As many as can be given at once: the tables of whom they have preempted, one for each who finds no
  /// block, are within the bound of a command, but for the last.
  private func endOfStretch(from first: Int) -> Int {
    let stats = pool.stats()
    var room = Int(stats.free + stats.cached + stats.lazyPending)
    var victim = running.count
    var blocks: UInt64 = 0
    for place in first..<running.count {
      guard let life = lives[Int(running[place])], !life.isPreempted,
        life.known % UInt64(blockSize) == 0
      else { continue }
      room -= 1
      if room >= 0 { continue }
      repeat { victim -= 1 } while victim > place && isPreempted(victim)
      if victim <= place { break }
      blocks += UInt64(lives[Int(running[victim])]?.blocks ?? 0)
      if blocks > blocksAtOnce && place > first { return place }
    }
    return running.count
  }

  private func isPreempted(_ place: Int) -> Bool {
    lives[Int(running[place])]?.isPreempted ?? false
  }

  private func decode(_ stretch: Range<Int>) {
    turn = stretch.upperBound
    let places = stretch.filter { !isPreempted($0) }
    if places.isEmpty { return }
    note(sequences: places.count)
    hashes.removeAll(keepingCapacity: true)
    hashCounts.removeAll(keepingCapacity: true)
    ids.removeAll(keepingCapacity: true)
    for place in places {
      let i = Int(running[place])
      ids.append(SequenceID(i + 1))
      let before = hashes.count
      hashNext(i)
      hashCounts.append(UInt32((hashes.count - before) / 2))
    }
    let victims =
      stretch.upperBound == running.count
      ? [] : (stretch.lowerBound..<running.count).reversed().map { SequenceID(running[$0] + 1) }
    ids.withUnsafeBufferPointer { ids in
      hashes.withUnsafeBytes { raw in
        hashCounts.withUnsafeBufferPointer { counts in
          victims.withUnsafeBufferPointer { victims in
            apply([
              Operation(
                .decode(
                  Decode(
                    sequences: ids, victimOrder: victims,
                    blockHashes: raw.bindMemory(to: UInt8.self),
                    hashCounts: hashes.isEmpty ? .init(start: nil, count: 0) : counts)),
                onRefusal: .preempt)
            ])
          }
        }
      }
    }
    take(outcome.results[0], places)
    appendToPreempted(behind: stretch.upperBound)
  }

  /// The hash of the block that the next token fills, if it fills one.
  private func hashNext(_ i: Int) {
    guard caches, var life = lives[i], (life.known + 1) % UInt64(blockSize) == 0 else { return }
    trace.hashes(
      of: i, tokens: life.known + 1, blockSize: blockSize, from: life.known / UInt64(blockSize),
      state: &life.hash, into: &hashes)
    lives[i]?.hash = life.hash
  }

  private func take(_ decoded: OperationResult, _ places: [Int]) {
    // Those of the stretch before.
    preempted.removeAll(keepingCapacity: true)
    if decoded.refusal.reason != .none {
      // Nothing is known that the pool refuses as a whole; were there anything, a trace from anywhere must
      // not bring down who plays it: those who run end with what they have.
      result.neverFit += UInt64(places.count)
      for place in places { end(Int(running[place])) }
      return
    }
    var freed: UInt64 = 0
    for id in outcome.preempted.elements(decoded.preempted) {
      let i = Int(id) - 1
      preempted.append(Int32(i))
      freed += UInt64(lives[i]?.blocks ?? 0)
      forgetTable(i)
      lives[i]?.isPreempted = true
    }
    note(sequences: preempted.count, blocks: freed)
    let refused = Set(outcome.refusedIndexes.elements(decoded.refusedIndexes))
    let counts = outcome.counts.elements(decoded.counts)
    for (index, place) in places.enumerated() {
      let i = Int(running[place])
      lives[i]?.known += 1
      // Its table is no more, and none of its tokens is held.
      if lives[i]?.isPreempted ?? false { continue }
      known += 1
      let taken = rounded(counts.isEmpty ? 0 : counts[index])
      lives[i]?.blocks += taken
      held += UInt64(taken)
      if refused.contains(UInt32(index)) {
        // Alone and still too large: it cannot be finished in this pool.
        result.neverFit += 1
        end(i)
      } else {
        _ = hasEnded(i)
      }
    }
  }

  /// Those who were preempted before their turn keep the token that was sampled for them.
  private func appendToPreempted(behind end: Int) {
    if end == running.count || preempted.isEmpty { return }
    let early = Set(preempted)
    hashes.removeAll(keepingCapacity: true)
    var ends: [(id: SequenceID, end: Int)] = []
    for index in running[end...] where early.contains(index) {
      hashNext(Int(index))
      lives[Int(index)]?.known += 1
      ends.append((SequenceID(index + 1), hashes.count))
    }
    if ends.isEmpty { return }
    hashes.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      var begin = 0
      var operations: [Operation] = []
      for (id, end) in ends {
        let own = UnsafeBufferPointer(rebasing: bytes[begin * 8..<end * 8])
        operations.append(Operation(.append(id, tokens: 1, blockHashes: own)))
        begin = end
      }
      apply(operations)
    }
  }
}
