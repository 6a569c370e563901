/// Digests of a pool, to compare two of them, and the way back to the beginning.
extension KVPool {
  /// Of every command that changed the pool, with its outcome, since the pool was made. O(1).
  ///
  /// Commands that changed nothing (refusals, dry runs) are no part of it: a replica that replays
  /// only what changed something has the same digest.
  package var historyDigest: UInt64 { history.value }

  /// Of everything that decides how the pool answers from here on, and of what it has counted: a
  /// digest of the bytes that `writeState` writes, streamed. The history digest and the counts of
  /// refusals are no part of it.
  ///
  /// O(blocks + table entries + hashes), with 16 KiB of memory.
  package func stateDigest() -> UInt64 {
    let writer = StateWriter(keepsBytes: false)
    Self.writeHead(to: writer)
    writeState(to: writer)
    return writer.value
  }

  /// The whole state of a pool, part by part. **Who adds state adds it here, or in the part it
  /// belongs to, and in `readState` at the same place**; digest and dump follow from that.
  ///
  /// A part has a file `Part+State.swift` with `write(to:)` and `read(from:)` one above the other: a
  /// section name of four letters, then its values. A part that a configuration does not have writes
  /// nothing, not even its section. Values that are only memory (capacities, stamps, the order of a
  /// map, lists that the rest implies) are left out and made again; what has no order is sorted,
  /// because equal states have equal bytes.
  ///
  /// Reading fills an empty pool of the same configuration. It must not crash on any bytes: each
  /// number is checked where it is read against what indexes or counts by it, and
  /// `checkInvariants`, which runs behind it, says whether the parts agree. `ModelTests` dumps, loads
  /// and goes on with the loaded pool in the midst of every walk, so what is forgotten shows there.
  func writeState(to writer: StateWriter) {
    configuration.write(to: writer)
    writer.section("POOL")
    writer.u64(revision)
    writer.u64(clock)
    activity.write(to: writer)
    sessions.write(to: writer)
    sequences.write(to: writer, classes: shapes.count)
    blocks.write(to: writer)
    writeHost(to: writer)
    chains?.write(to: writer, sequences)
    copies.write(to: writer, sessions)
    if configuration.cachesPrefixes { pins.write(to: writer, hashBytes: configuration.hashBytes) }
    writePromises(to: writer)
    dirty?.write(to: writer)
  }

  /// The other way round, into a pool as created from the configuration, which has been read.
  func readState(from reader: inout StateReader) throws(StateFailure) {
    try reader.section("POOL")
    revision = try reader.counter("the revision")
    clock = try reader.u64()
    activity = try Activity(from: &reader)
    try sessions.read(from: &reader)
    try sequences.read(
      from: &reader, sessions: sessions.count, tokens: tokenLimit,
      blocks: blocksFor(UInt64(tokenLimit)), capacity: blocks.capacity,
      hostCapacity: configuration.hostBlocks, classes: shapes.count)
    try sessions.checkLinks(reader, sequences: sequences.slotCount)
    try blocks.read(
      from: &reader, sessions: sessions.count, sequences: sequences.slotCount)
    try readHost(from: &reader)
    try chains?.read(from: &reader, sequences) { useClass(of: $0) }
    try copies.read(
      from: &reader, sessions, capacity: blocks.capacity, hostCapacity: configuration.hostBlocks,
      blockSize: configuration.sizeClasses.last?.blockSize ?? configuration.blockSize)
    if configuration.cachesPrefixes {
      try pins.read(
        from: &reader, hashBytes: configuration.hashBytes, sessions: sessions.count,
        capacity: blocks.capacity)
    }
    try readPromises(from: &reader)
    try dirty?.read(from: &reader)
    restoreOwed()
  }

  /// As created: everything free, nothing known, all counters 0. The revision goes on, by one, and
  /// so do the ids of copies. What was handed out is no cleaner for it.
  package func reset() {
    blocks.makeAllFree()
    host?.makeAllFree()
    sequences.removeAll()
    chains?.removeAll()
    copies.removeAll()
    pins.removeAll()
    reservations.removeAll()
    promised = 0
    owed = 0
    for i in shapes.indices { shapes[i].promised = 0 }
    sessions.removeAll()
    clock = 0
    activity = Activity()
    refusalCounts.update(repeating: 0, count: Self.refusalReasons)
    revision += 1
    history.add(0, revision)
    noteReset()
  }
}

extension KVPool.Activity {
  func write(to writer: StateWriter) {
    writer.u64(allocateCalls)
    writer.u64(freeCalls)
    writer.u64(forks)
    writer.u64(copies)
    writer.u64(preemptions)
    writer.u64(evictionsAhead)
    writer.u64(movedBlocks)
    writer.u64(abandonedMoves)
    writer.u64(prefixQueryTokens)
    writer.u64(prefixHitTokens)
    writer.u64(preemptedQueryTokens)
    writer.u64(preemptedHitTokens)
  }

  init(from reader: inout StateReader) throws(StateFailure) {
    allocateCalls = try reader.counter("allocate calls")
    freeCalls = try reader.counter("free calls")
    forks = try reader.counter("forks")
    copies = try reader.counter("copies")
    preemptions = try reader.counter("preemptions")
    evictionsAhead = try reader.counter("evictions ahead of need")
    movedBlocks = try reader.counter("moved blocks")
    abandonedMoves = try reader.counter("abandoned moves")
    prefixQueryTokens = try reader.counter("prefix query tokens")
    prefixHitTokens = try reader.counter("prefix hit tokens")
    preemptedQueryTokens = try reader.counter("preempted query tokens")
    preemptedHitTokens = try reader.counter("preempted hit tokens")
  }
}
