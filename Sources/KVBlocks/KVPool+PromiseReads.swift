/// Promises to sequences that were never added, or were freed: names with blocks and nothing else.
extension KVPool {
  /// The session's ids at or after `first` that blocks are promised to and that no sequence has, in
  /// ascending order, at most `limit` (at least 1). `promisedBlocks` tells how many.
  ///
  /// O(promises of the pool) time, O(`limit`) memory: the map has no order to go on in.
  package func reservedNames(
    session: SessionID, from first: SequenceID, limit: Int
  ) -> [SequenceID] {
    let owner = sessions.find(session)
    if owner == SequenceSlot.none || promised == 0 { return [] }
    var names: [SequenceID] = []
    // No id from here on is among the first ones.
    var bound: SequenceID?
    reservations.forEach { entry in
      if entry.b != owner || entry.a < first { return }
      if let bound, entry.a >= bound { return }
      if sequences.find(entry.a, session: owner) != SequenceSlot.none { return }
      names.append(entry.a)
      if names.count < 2 * limit { return }
      names.sort()
      bound = names[limit]
      names.removeLast(names.count - limit)
    }
    names.sort()
    return Array(names.prefix(limit))
  }

  /// The number of the size class that the promise is of, from 1; 0 where there is no promise, or no
  /// class. O(1).
  package func promisedClass(session: SessionID, sequence: SequenceID) -> UInt32 {
    let slot = sessions.find(session)
    if slot == SequenceSlot.none || !hasClasses { return 0 }
    let promise = Promise(reservations.value(sequence, slot), hasClasses)
    return promise.blocks == 0 ? 0 : UInt32(promise.sizeClass) + 1
  }
}
