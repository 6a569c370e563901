/// Whom `OnRefusal.preempt` preempts, one after the other, until the refused sequence fits.
///
/// As in vLLM that may be the requester itself, and one that the command has scheduled already: its
/// tokens go back into the budget then, for those who come after the requester.
extension KVPool {
  /// The first in the policy's order of the session's running sequences of the class at hand, of which
  /// the requester is one.
  ///
  /// - Parameter returned: Grows by what the command scheduled of the victim.
  /// - Throws: `.quota` where the command has looked at too much.
  /// - Complexity: O(running sequences of the session); `cost` O(entries of their tables).
  func policyVictim(
    for requester: SequenceID, _ returned: inout UInt32
  ) throws(Refusal) -> UInt32 {
    var victim = SequenceSlot.none
    var cost = VictimCost(freed: 0, tokens: 0)
    var slot = sessions.slots[Int(run.slot)].lastRunning
    while slot != SequenceSlot.none {
      defer { slot = sequences.slots[Int(slot)].previousRunning }
      // Blocks of another class are of no help.
      let helps = sequences.slots[Int(slot)].sizeClass == run.sizeClass
      let isCosted = run.victimPolicy == .cost && helps
      try spend(isCosted ? 1 + sequences.slots[Int(slot)].blockCount : 1, requester)
      if !helps { continue }
      if isCosted {
        let other = self.cost(of: slot)
        if victim == SequenceSlot.none || other.isLess(than: cost) {
          (victim, cost) = (slot, other)
        }
      } else if victim == SequenceSlot.none || isLessImportant(slot, than: victim) {
        victim = slot
      }
    }
    if run.notesScheduled { returned += scheduledNow[victim] ?? 0 }
    return victim
  }

  /// vLLM's `max(running, key=(priority, arrival_time))`.
  func isLessImportant(_ a: UInt32, than b: UInt32) -> Bool {
    let (a, b) = (sequences.slots[Int(a)], sequences.slots[Int(b)])
    return a.priority == b.priority ? a.arrival > b.arrival : a.priority > b.priority
  }

  func cost(of slot: UInt32) -> VictimCost {
    VictimCost(freed: exclusiveBlocks(slot), tokens: recomputeTokens(slot))
  }

  /// Tokens of the budget go to a sequence.
  @inline(__always)
  func charge(_ tokens: UInt32, to slot: UInt32) {
    run.budget -= tokens
    if run.notesScheduled { scheduledNow[slot, default: 0] += tokens }
  }
}

/// What is to be computed again, for how many blocks.
struct VictimCost {
  var freed: UInt32
  var tokens: UInt32

  /// a/b < c/d as a x d < c x b; what frees nothing alone comes last.
  func isLess(than other: Self) -> Bool {
    if freed == 0 || other.freed == 0 { return other.freed == 0 && freed > 0 }
    return UInt64(tokens) * UInt64(other.freed) < UInt64(other.tokens) * UInt64(freed)
  }
}

/// Whom a command preempts. Raw values are the wire's.
package enum VictimPolicy: UInt8, BitwiseCopyable, Sendable {
  /// vLLM's FCFS: a decode's list from its end, else the latest admitted.
  case fcfs = 1
  /// vLLM's priority: the highest value, of those the last to come.
  case priority = 2
  /// Fewest tokens to compute again for each block that only the sequence holds; of those the latest
  /// admitted.
  case cost = 3
}
