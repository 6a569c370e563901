/// Whom to preempt so that blocks become available, what that frees and what it costs.
///
/// Only looks: preempting is the caller's next command, or `recover`'s.
extension KVPool {
  /// Victims among the session's running sequences, in the order to preempt them.
  ///
  /// They are taken from the head of `order` until `needed` blocks are available beside the promised
  /// ones; then, from its end, whoever can be left out is. So nobody of them is superfluous, and who
  /// comes late in the order is spared first. Where all together do not suffice, they are all that
  /// would free something. `Victims.md` has the orders.
  ///
  /// - Parameters:
  ///   - keep: Sequences that stay; unknown ones are passed over.
  ///   - limit: Victims at most, the first of them; 0 = as many as it takes.
  ///   - sizeClass: The number of the size class whose blocks are needed, from 1; 0 = the first. Only
  ///     its sequences are victims.
  ///   - victims: Replaced by the victims.
  /// - Throws: `.invalid` where nothing is needed.
  /// - Complexity: O(r log r + entries of their tables) for r running sequences. Allocates. Within a
  ///   command the r and the entries count as work.
  package func adviseVictims(
    session: SessionID, needed: UInt32, order: VictimOrder = .cost,
    keep: UnsafeBufferPointer<SequenceID> = .init(start: nil, count: 0), limit: UInt32 = 0,
    sizeClass: UInt32 = 0, into victims: inout FlatList<Victim>
  ) throws(Refusal) -> VictimAdvice {
    try useClass(number: sizeClass)
    if needed == 0 { throw Refusal(.invalid, field: .blocksNeeded, limit: 1) }
    let slots = chooseVictims(
      sessions.find(session), for: needed, order, keep, limit: limit == 0 ? .max : Int(limit))
    victims.removeAll()
    var release = Release(blocks)
    for slot in slots {
      let sequence = sequences.slots[Int(slot)]
      let before = release.freed
      release.add(sequence.blocks)
      victims.append(
        Victim(
          sequence: sequence.id, freedBlocks: release.freed - before,
          recomputeTokens: recomputeTokens(slot), priority: sequence.priority))
    }
    let available = self.available + release.freed
    return VictimAdvice(
      availableBlocks: available,
      isSufficient: UInt64(needed) + UInt64(promisedHere) <= UInt64(available))
  }

  /// The slots of the victims, for a session's slot; empty where enough is available already.
  func chooseVictims(
    _ session: UInt32, for needed: UInt32, _ order: VictimOrder,
    _ keep: UnsafeBufferPointer<SequenceID>, limit: Int = .max
  ) -> [UInt32] {
    let wanted = UInt64(needed) + UInt64(promisedHere)
    if session == SequenceSlot.none || wanted <= UInt64(available) { return [] }
    let shortage = wanted - UInt64(available)
    let candidates = ranked(candidates(session, keep), order)
    run.work += UInt64(candidates.count)
    var release = Release(blocks)
    var chosen: [UInt32] = []
    for slot in candidates {
      release.add(sequences.slots[Int(slot)].blocks)
      run.work += UInt64(sequences.slots[Int(slot)].blockCount)
      chosen.append(slot)
      if UInt64(release.freed) >= shortage { break }
    }
    let goal = min(shortage, UInt64(release.freed))
    for i in chosen.indices.reversed() {
      release.remove(sequences.slots[Int(chosen[i])].blocks)
      if UInt64(release.freed) >= goal {
        chosen.remove(at: i)
      } else {
        release.add(sequences.slots[Int(chosen[i])].blocks)
      }
    }
    return Array(chosen.prefix(limit))
  }

  /// Blocks that become available if all of these are preempted.
  func countFreed(by slots: [UInt32]) -> UInt32 {
    var release = Release(blocks)
    for slot in slots { release.add(sequences.slots[Int(slot)].blocks) }
    return release.freed
  }

  /// Running sequences that hold something and are not to be kept, the latest admitted first.
  func candidates(
    _ session: UInt32, _ keep: UnsafeBufferPointer<SequenceID>
  ) -> [UInt32] {
    stamp += 1
    for id in keep {
      let slot = sequences.find(id, session: session)
      if slot != SequenceSlot.none { sequences.slots[Int(slot)].stamp = stamp }
    }
    var found: [UInt32] = []
    var slot = sessions.slots[Int(session)].lastRunning
    while slot != SequenceSlot.none {
      let sequence = sequences.slots[Int(slot)]
      run.work += 1
      if sequence.stamp != stamp && sequence.heldBlocks > 0 && sequence.sizeClass == run.sizeClass {
        found.append(slot)
      }
      slot = sequence.previousRunning
    }
    return found
  }

  func ranked(_ latestFirst: [UInt32], _ order: VictimOrder) -> [UInt32] {
    switch order {
    case .latest: return latestFirst
    case .priority: return latestFirst.sorted { isLessImportant($0, than: $1) }
    case .cost:
      let costs = latestFirst.map { cost(of: $0) }
      // Equals as they were.
      return latestFirst.indices.sorted { i, j in
        if costs[i].isLess(than: costs[j]) { return true }
        return !costs[j].isLess(than: costs[i]) && i < j
      }
      .map { latestFirst[$0] }
    }
  }

  /// Blocks that the sequence alone keeps from being available.
  func exclusiveBlocks(_ slot: UInt32) -> UInt32 {
    var count: UInt32 = 0
    for id in sequences.slots[Int(slot)].blocks where id != 0 {
      let record = blocks.records + Int(id)
      if record.pointee.refCount == 1 && record.pointee.pins == 0 { count += 1 }
    }
    return count
  }

  /// Computed tokens that are lost with the sequence's blocks: all but those that it would hit in the
  /// prefix cache when it is admitted again, if nothing is evicted until then.
  func recomputeTokens(_ slot: UInt32) -> UInt32 {
    let sequence = sequences.slots[Int(slot)]
    guard let chains, !chains.chains[Int(slot)].skipsLookup else { return sequence.computed }
    hits.removeAll()
    let nulls = findHits(chains.bytes(of: slot), tokens: sequence.tokens, into: &hits)
    let cached = (UInt64(nulls) + UInt64(hits.count)) * UInt64(blockSize)
    return sequence.computed - UInt32(min(cached, UInt64(sequence.computed)))
  }
}

/// The order in which running sequences are preempted. Raw values are the wire's `VictimOrder`.
package enum VictimOrder: UInt8, BitwiseCopyable, Sendable {
  /// Fewest tokens to compute again for each block that only the sequence holds.
  case cost = 1
  /// vLLM's FCFS: the latest admitted first.
  case latest = 2
  /// vLLM's priority: the highest value first, of those the one that came last.
  case priority = 3
}

/// One sequence that would be preempted, after those before it.
package struct Victim: Equatable, BitwiseCopyable {
  package var sequence: SequenceID
  /// Blocks that become available with it, and not with those before it.
  package var freedBlocks: UInt32
  /// Computed tokens that would have to be computed again.
  package var recomputeTokens: UInt32
  package var priority: Int32

  package init(
    sequence: SequenceID, freedBlocks: UInt32, recomputeTokens: UInt32, priority: Int32
  ) {
    self.sequence = sequence
    self.freedBlocks = freedBlocks
    self.recomputeTokens = recomputeTokens
    self.priority = priority
  }
}

package struct VictimAdvice: Equatable {
  /// Blocks available once the victims are preempted, promised ones included.
  package var availableBlocks: UInt32
  /// Whether what is needed is then there, beside what is promised.
  package var isSufficient: Bool

  package init(availableBlocks: UInt32, isSufficient: Bool) {
    self.availableBlocks = availableBlocks
    self.isSufficient = isSufficient
  }
}
