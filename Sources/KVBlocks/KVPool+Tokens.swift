/// What comes with tokens as ids: rules for operations, and the reset that preempts.
extension KVPool {
  /// Larger ids are no tokens: vLLM's are signed words.
  package static let largestTokenID: UInt32 = 1 << 31 - 1

  /// Ids are given for all of `tokens` or not at all, and not beside hashes.
  func checkTokenIDs(
    _ ids: UnsafeBufferPointer<UInt32>, tokens: UInt32, _ hashes: UnsafeBufferPointer<UInt8>,
    _ sequence: SequenceID
  ) throws(Refusal) {
    if ids.count == 0 { return }
    if hashes.count > 0 {
      throw Refusal(.invalid, field: .blockHashes, limit: 0, sequence: sequence)
    }
    if ids.count != Int(tokens) {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(ids.count), sequence: sequence)
    }
    try checkTokenIDs(ids, sequence)
  }

  @inline(__always)
  func checkTokenIDs(
    _ ids: UnsafeBufferPointer<UInt32>, _ sequence: SequenceID
  ) throws(Refusal) {
    var all: UInt32 = 0
    for id in ids { all |= id }
    if all <= Self.largestTokenID { return }
    for i in 0..<ids.count where ids[i] > Self.largestTokenID {
      throw Refusal(
        .invalid, field: .tokenIDs, limit: UInt64(Self.largestTokenID), sequence: sequence,
        subject: UInt64(i))
    }
  }

  // MARK: Extra keys

  /// Most bytes of extra keys that the blocks of one command hash. The tokens are as long as the
  /// request; a key is hashed with every block, so that a long one in small blocks is a thousand times
  /// as much. 64 bytes for each of 2 M blocks.
  package static let maximumKeyBytesPerCommand: UInt64 = 1 << 27

  /// Before the blocks of the tokens `start..<end` are hashed, or may be.
  func checkKeys(
    _ keys: UnsafeBufferPointer<UInt8>, from start: UInt32, to end: UInt32, _ sequence: SequenceID
  ) throws(Refusal) {
    guard keys.count > 0, start < end, let hasher = chains?.hasher else { return }
    let bytes = hasher.keyBytes(
      keys, from: Int(start), to: Int(end), sizeClass: run.sizeClass)
    if bytes > Self.maximumKeyBytesPerCommand - run.keyBytes {
      throw Refusal(
        .quota, field: .extraKeys, limit: Self.maximumKeyBytesPerCommand, sequence: sequence)
    }
    run.keyBytes += bytes
  }

  /// The same where `tokens` more follow those of a sequence.
  func checkKeys(of slot: UInt32, appending tokens: UInt32) throws(Refusal) {
    guard let chains, chains.hasKeys, tokens > 0 else { return }
    useClass(of: slot)
    let sequence = sequences.slots[Int(slot)]
    let chain = chains.chains[Int(slot)]
    let hashed = chain.count * blockSize
    // Tokens behind others that were only counted are counted as well.
    if !chains.knowsTail(slot, tokens: sequence.tokens) && sequence.tokens != hashed { return }
    try checkKeys(
      chain.keyBytes, from: hashed,
      to: chains.hashable(sequence.tokens + tokens) * blockSize, sequence.id)
  }

  // MARK: Reset

  /// Preempts all that runs, of all sessions, the latest admitted first: vLLM empties its list from
  /// the end, so that the first admitted comes to stand first among the waiting.
  ///
  /// Refused, before anything is preempted, where blocks would be held all the same.
  func preemptEverything(
    _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    var raw: UInt32 = 0
    for i in 0..<Int(sessions.count) { raw += sessions.slots[i].rawBlocks }
    if raw > 0 || copies.count > 0 {
      throw Refusal(.wrongState, needed: blocks.capacity, available: blocks.available)
    }
    try checkHostIsFree()
    let first = outcome.preempted.count
    for slot in runningLatestFirst() {
      outcome.preempted.append(sequences.slots[Int(slot)].id)
      result.freedBlocks += preempt(slot)
    }
    result.preempted = slice(first, outcome.preempted.count)
  }

  /// Commands belong to one session, so that sequences of one revision are in one session's list.
  private func runningLatestFirst() -> [UInt32] {
    var slots: [UInt32] = []
    slots.reserveCapacity(Int(sequences.counts.running))
    for i in 0..<Int(sessions.count) {
      var slot = sessions.slots[i].lastRunning
      while slot != SequenceSlot.none {
        slots.append(slot)
        slot = sequences.slots[Int(slot)].previousRunning
      }
    }
    func admitted(_ i: Int) -> Revision { sequences.slots[Int(slots[i])].admittedRevision }
    let order = slots.indices.sorted {
      admitted($0) == admitted($1) ? $0 < $1 : admitted($0) > admitted($1)
    }
    return order.map { slots[$0] }
  }
}
