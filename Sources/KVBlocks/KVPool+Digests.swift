/// Digests of a pool, to compare two of them, and the way back to the beginning.
extension KVPool {
  /// Of every command that changed the pool, with its outcome, since the pool was made. O(1).
  ///
  /// Commands that changed nothing (refusals, dry runs) are no part of it: a replica that replays
  /// only what changed something has the same digest.
  package var historyDigest: UInt64 { history.value }

  /// Of everything that decides how the pool answers from here on: records, queue order, sequences
  /// and their tables, raw holds, copies under way, revision. Counters that only report are left out.
  ///
  /// O(blocks + table entries + raw holds).
  package func stateDigest() -> UInt64 {
    var digest = Digest()
    digest.add(revision)
    digest.add(
      configuration.blocks, configuration.blockSize, UInt32(configuration.copyAck.rawValue))
    addBlocks(to: &digest)
    if let index = blocks.index { addContents(of: index, to: &digest) }
    addSessions(to: &digest)
    addSequences(to: &digest)
    addCopies(to: &digest)
    return digest.value
  }

  private func addBlocks(to digest: inout Digest) {
    var holds: UInt64 = 0
    for id in 0...Int(blocks.capacity) {
      let record = blocks.records[id]
      digest.add(record.refCount, record.previous, record.next, record.holder.bits)
      digest.add(
        record.twin, record.generation,
        UInt32(record.pins) << 16 | UInt32(record.sizeClass) << 8 | UInt32(record.group),
        record.lastTouch)
    }
    // The map has no order of its own, so its entries are summed up.
    blocks.sharedHolds.forEach { entry in
      var one = Digest()
      one.add(entry.a, UInt64(entry.b) << 32 | UInt64(entry.value))
      holds &+= one.value
    }
    digest.add(holds, UInt64(blocks.sharedHolds.count))
  }

  private func addContents(of index: PrefixIndex, to digest: inout Digest) {
    digest.add(UInt32(configuration.hashBytes), configuration.eagle ? 1 : 0)
    digest.add(configuration.watermark.bitPattern, UInt64(configuration.maxModelTokens))
    if let chains {
      for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isUsed {
        let chain = chains.chains[Int(slot)]
        digest.add(slot, chain.cachedBlocks, chain.skipsLookup ? 1 : 0)
        digest.add(hashes: chains.bytes(of: slot))
      }
    }
    for id in 1...blocks.capacity where blocks.records[Int(id)].twin != 0 {
      digest.add(index.hash(of: id))
      // The links of a ring do not tell where it begins.
      digest.add(id, index.isFirst(id) ? 1 : 0)
    }
  }

  private func addSessions(to digest: inout Digest) {
    digest.add(sessions.spentCopyIDs)
    for i in 0..<Int(sessions.count) {
      let session = sessions.slots[i]
      digest.add(session.id, session.lastCopyID)
      digest.add(session.rawBlocks, session.sequences, session.firstRunning, session.lastRunning)
      digest.add(session.firstCopy, session.lastCopy)
    }
  }

  private func addSequences(to digest: inout Digest) {
    for i in 0..<Int(sequences.slotCount) {
      let sequence = sequences.slots[i]
      digest.add(sequence.id, UInt64(sequence.stateBits) << 32 | UInt64(sequence.session))
      digest.add(sequence.tokens, sequence.computed, sequence.preemptions, sequence.expectedTokens)
      digest.add(
        UInt32(bitPattern: sequence.priority), sequence.previousRunning, sequence.nextRunning)
      digest.add(sequence.admittedRevision)
      digest.add(sequence.labelBytes)
      digest.add(sequence.blocks)
    }
  }

  private func addCopies(to digest: inout Digest) {
    for i in 0..<Int(copies.used) {
      let copy = copies.copies[i]
      digest.add(copy.id)
      digest.add(copy.session, copy.source, copy.target, copy.tokens)
      digest.add(copy.previousInSession, copy.nextInSession)
      digest.add(
        copy.sourceChain.previous, copy.sourceChain.next, copy.targetChain.previous,
        copy.targetChain.next)
    }
  }

  /// As created: everything free, nothing known, all counters 0. The revision goes on, by one, and
  /// so do the ids of copies.
  package func reset() {
    blocks.makeAllFree()
    sequences.removeAll()
    chains?.removeAll()
    copies.removeAll()
    sessions.removeAll()
    activity = Activity()
    refusalCounts.update(repeating: 0, count: Self.refusalReasons)
    revision += 1
    history.add(0, revision)
  }
}
