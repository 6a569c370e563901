/// Who came when, by number: the domain has no clock, but who has one can say when which number came.
extension KVPool {
  /// Sequences that ever came, by add or fork, since the pool was made or reset. O(1).
  package var arrivals: UInt64 { sequences.arrivals }

  /// Which of the arrivals the session's sequence was, from 1, and how often it was preempted since; nil
  /// where there is none. O(1).
  package func arrival(
    session: SessionID, sequence: SequenceID
  ) -> (number: UInt64, preemptions: UInt32)? {
    let owner = sessions.find(session)
    if owner == SequenceSlot.none { return nil }
    let slot = sequences.find(sequence, session: owner)
    if slot == SequenceSlot.none { return nil }
    let found = sequences.slots + Int(slot)
    return (found.pointee.arrival, found.pointee.preemptions)
  }
}
