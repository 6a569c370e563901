import KVBlocks

/// Token ids once more: each sequence has the list of all its tokens, nil where one was only counted,
/// and hashes are made from the first token on.
extension Model {
  /// Blocks of so many tokens that can have a hash.
  func hashable(_ tokens: Int) -> Int { max(0, tokens - lookahead) / size }

  func checkTokenIDs(
    _ ids: [UInt32], _ tokens: Int, _ hashes: [UInt64], _ id: SequenceID
  ) throws(Refusal) {
    if ids.isEmpty { return }
    if !hashes.isEmpty { throw Refusal(.invalid, field: .blockHashes, sequence: id) }
    if ids.count != tokens {
      throw Refusal(.invalid, field: .tokenCount, limit: UInt64(ids.count), sequence: id)
    }
    if let wrong = ids.firstIndex(where: { $0 > 2_147_483_647 }) {
      throw Refusal(
        .invalid, field: .tokenIDs, limit: 2_147_483_647, sequence: id, subject: UInt64(wrong))
    }
  }

  /// The sequence grows: by ids, or by tokens that are only counted and hashes or none.
  func grow(_ sequence: inout Sequence, by tokens: Int, _ hashes: [UInt64], _ ids: [UInt32]) {
    let before = sequence.tokens
    sequence.tokens += tokens
    sequence.hashes += hashes
    sequence.isHashFed = sequence.isHashFed || !hashes.isEmpty
    if !hasTokens { return }
    let hashed = sequence.hashes.count * size
    let isKnown = sequence.kept.upperBound == before && sequence.kept.lowerBound <= hashed
    if ids.isEmpty || !(isKnown || hashed == before) {
      sequence.content += Array(repeating: nil, count: tokens)
      return
    }
    if !isKnown { sequence.kept = before..<before }
    sequence.content += ids.map { $0 }
    sequence.kept = sequence.kept.lowerBound..<sequence.tokens
    let count = hashable(sequence.tokens)
    if count == sequence.hashes.count { return }
    while sequence.hashes.count < count { sequence.hashes.append(nextHash(sequence)) }
    if !sequence.isHashFed { sequence.hashes = fromScratch(sequence) }
    // Of all full blocks, as many of the last ones as 64 tokens need.
    if !keepsTokens {
      let blocksKept = (64 + size - 1) / size
      let lower = max(sequence.kept.lowerBound, (count - blocksKept) * size)
      sequence.kept = lower..<sequence.tokens
    }
  }

  private func nextHash(_ sequence: Sequence) -> UInt64 {
    let start = sequence.hashes.count * size
    return testHash(
      parent: sequence.hashes.last ?? 0, start: start,
      tokens: sequence.content[start..<start + size + lookahead].compactMap { $0 },
      keys: sequence.keys)
  }

  /// All hashes of the sequence's tokens, as of a sequence that never was anything else.
  private func fromScratch(_ sequence: Sequence) -> [UInt64] {
    var fresh = sequence
    fresh.hashes = []
    while fresh.hashes.count < hashable(fresh.tokens) { fresh.hashes.append(nextHash(fresh)) }
    return fresh.hashes
  }

  /// A rewind must not need ids that are gone.
  func checkKept(_ sequence: Sequence, left: Int, _ id: SequenceID) throws(Refusal) {
    let hashed = sequence.hashes.count * size
    let isKnown =
      sequence.kept.upperBound == sequence.tokens && sequence.kept.lowerBound <= hashed
    if !hasTokens || !isKnown || left == sequence.tokens { return }
    let needed = min(sequence.hashes.count, hashable(left)) * size
    if needed == left || needed >= sequence.kept.lowerBound { return }
    throw Refusal(
      .invalid, field: .keptTokens,
      limit: UInt64(max(0, sequence.tokens - sequence.kept.lowerBound - lookahead)), sequence: id)
  }

  /// The tokens behind the first `left` go.
  func cut(_ sequence: inout Sequence, to left: Int) {
    sequence.hashes = Array(sequence.hashes.prefix(hashable(left)))
    if sequence.hashes.isEmpty { sequence.isHashFed = false }
    if !hasTokens { return }
    sequence.content = Array(sequence.content.prefix(left))
    let upper = min(sequence.kept.upperBound, left)
    sequence.kept = min(sequence.kept.lowerBound, upper)..<upper
  }

  /// Each sequence's ids out of a decode's column.
  func dealTokens(_ request: TestOperation.TestDecode) throws(Refusal) -> [[UInt32]] {
    if request.tokens.isEmpty { return request.ids.map { _ in [] } }
    if !request.hashes.isEmpty || !request.hashCounts.isEmpty {
      throw Refusal(.invalid, field: .blockHashes)
    }
    let counts =
      request.append.isEmpty ? request.ids.map { _ in 1 } : request.append.map { Int($0) }
    let total = counts.reduce(0, +)
    if total != request.tokens.count {
      throw Refusal(.invalid, field: .tokenIDs, limit: UInt64(total))
    }
    try checkTokenIDs(request.tokens, total, [], 0)
    var next = 0
    return counts.map { count in
      defer { next += count }
      return Array(request.tokens[next..<next + count])
    }
  }

  /// The reset that preempts: refused where blocks would be held all the same.
  mutating func resetAfterPreempting(_ result: inout Seen.Result) throws(Refusal) {
    if state.raw.values.contains(where: { !$0.isEmpty }) || !state.copies.isEmpty {
      throw Refusal(
        .wrongState, needed: UInt32(blocks), available: UInt32(availableInAll))
    }
    try checkHostIsFree()
    for key in state.running.reversed() {
      result.preempted.append(key.id)
      result.freed += UInt32(preempt(key))
    }
    try resetCache(&result)
  }
}
