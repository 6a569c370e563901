/// What a lookup goes by, and who holds a block: for those who ask why. Nothing in here changes a pool.
package struct LookupTrace {
  /// Tokens of a block of the class looked in.
  package let blockSize: UInt32
  package let tokens: UInt32
  /// One after the other, of `hashBytes` each: of the full blocks whose content is known. Borrowed until
  /// the pool's next command or lookup.
  package let hashes: UnsafeBufferPointer<UInt8>
  package let hashBytes: Int
  /// The sequence asked not to be looked up.
  package let skipsLookup: Bool
  /// Group of the index.
  fileprivate let sizeClass: UInt8

  package var count: Int { hashes.count / hashBytes }

  package subscript(i: Int) -> BlockHash {
    precondition(i >= 0 && i < count, "asked for a hash that is not known")
    return BlockHash(hashes.baseAddress! + i * hashBytes, hashBytes)
  }
}

extension KVPool {
  /// The hashes by which the session's sequence is looked up; nil where there is no such sequence.
  package func trace(session: SessionID, sequence: SequenceID) -> LookupTrace? {
    let owner = sessions.find(session)
    if owner == SequenceSlot.none { return nil }
    let slot = sequences.find(sequence, session: owner)
    if slot == SequenceSlot.none { return nil }
    useClass(of: slot)
    return trace(
      chains?.bytes(of: slot) ?? .init(start: nil, count: 0),
      tokens: sequences.slots[Int(slot)].tokens,
      skipsLookup: chains?.chains[Int(slot)].skipsLookup ?? false)
  }

  /// The same of a sequence to come, which is checked as one, but for its id.
  package func trace(_ new: AddSequence) throws(Refusal) -> LookupTrace {
    run.keyBytes = 0
    try checkContent(of: new)
    return trace(hashes(of: new), tokens: new.tokens, skipsLookup: new.skipsPrefixLookup)
  }

  private func trace(
    _ hashes: UnsafeBufferPointer<UInt8>, tokens: UInt32, skipsLookup: Bool
  ) -> LookupTrace {
    LookupTrace(
      blockSize: blockSize, tokens: tokens, hashes: hashes,
      hashBytes: Int(configuration.hashBytes), skipsLookup: skipsLookup, sizeClass: run.sizeClass)
  }

  /// The block that the content is answered with where the lookup looks; 0 = none. O(1).
  package func hit(_ i: Int, of trace: LookupTrace) -> BlockID {
    blocks.first(trace[i], group: trace.sizeClass)
  }

  /// One who holds a block of the device.
  package struct BlockHold: Equatable {
    package var session: SessionID
    /// nil: the session itself, raw.
    package var sequence: SequenceID?
    /// The entry of the sequence's table; 0 for raw references.
    package var tableIndex: UInt32
    /// Raw references of the session; 1 for a sequence.
    package var references: UInt32
  }

  /// All who hold a block: sessions by raw references, then sequences, both in the order of their slots,
  /// at most `limit`.
  ///
  /// O(table) where one sequence holds it; where several do O(sessions + table entries), up to the last one
  /// that does.
  package func holders(of id: BlockID, limit: Int) -> [BlockHold] {
    precondition(id >= 1 && id <= blocks.capacity, "looked at a block that does not exist")
    let (holder, references) = (blocks.records[Int(id)].holder, blocks.records[Int(id)].refCount)
    var holds: [BlockHold] = []
    var found: UInt32 = 0
    if holder.isSequence {
      addHold(of: id, by: holder.slot, to: &holds)
    } else if holder.isRaw {
      holds.append(rawHold(holder.slot, 1))
    } else if holder == .shared {
      for session in 0..<sessions.count where holds.count < limit {
        let ofSession = blocks.rawReferences(id, by: session)
        found += ofSession
        if ofSession > 0 { holds.append(rawHold(session, ofSession)) }
      }
      var slot: UInt32 = 0
      while slot < sequences.slotCount && found < references && holds.count < limit {
        let before = holds.count
        if sequences.slots[Int(slot)].isRunning { addHold(of: id, by: slot, to: &holds) }
        found += UInt32(holds.count - before)
        slot += 1
      }
    }
    return holds
  }

  private func rawHold(_ session: UInt32, _ references: UInt32) -> BlockHold {
    BlockHold(
      session: sessions.slots[Int(session)].id, sequence: nil, tableIndex: 0,
      references: references)
  }

  private func addHold(of id: BlockID, by slot: UInt32, to holds: inout [BlockHold]) {
    let sequence = sequences.slots[Int(slot)]
    guard let place = sequence.blocks.firstIndex(of: id) else { return }
    holds.append(
      BlockHold(
        session: sessions.slots[Int(sequence.session)].id, sequence: sequence.id,
        tableIndex: UInt32(place), references: 1))
  }
}
