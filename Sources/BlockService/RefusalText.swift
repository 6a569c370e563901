internal import BlockMessages
internal import KVBlocks

/// The words and the field path of a refusal.
enum RefusalText {
  /// The wire's `Refusal`, with the field named from the operation on (`add.content.token_count`)
  /// and the rule it broke in words. With `index` the operation is one of a step that it aborted,
  /// and is named as such whatever the refusal is about (`ops[3].add`).
  static func fields(
    of refusal: Refusal, operation: Operation?, index: Int? = nil, named: String? = nil,
    pool: KVPool
  ) -> RefusalFields {
    var field = path(refusal.field, in: operation, named)
    if let index, let operation {
      field = "ops[\(index)].\(field.isEmpty ? name(of: operation) : field)"
    }
    return RefusalFields(
      reason: UInt32(refusal.reason.rawValue),
      field: field,
      detail: detail(refusal, operation, pool),
      needed: refusal.needed, available: refusal.available,
      evictableWithinAvailable: refusal.evictable, reserved: refusal.reserved,
      watermark: refusal.watermark, sequenceID: refusal.sequence,
      largestRun: largestRun(refusal, operation), sizeClass: UInt32(refusal.sizeClass))
  }

  /// Where there is no run, and where a recovery asks for one: the longest that there is.
  static func largestRun(_ refusal: Refusal, _ operation: Operation?) -> UInt32 {
    if case .recover(let request) = operation?.kind, request.isContiguous, refusal.reason == .later
    {
      return UInt32(refusal.limit)
    }
    return refusal.reason == .noRun ? UInt32(refusal.limit) : 0
  }

  static let thresholdField = "config.admission_threshold"

  // MARK: Words

  private static func detail(
    _ refusal: Refusal, _ operation: Operation?, _ pool: KVPool
  ) -> String {
    let blocks = pool.configuration.blocks
    if refusal.sizeClass > 0, let words = classDetail(refusal, pool) { return words }
    if let words = hostDetail(refusal, operation, pool) { return words }
    switch refusal.reason {
    case .none: return ""
    case .later where refusal.field == .admissionThreshold,
      .never where refusal.field == .admissionThreshold:
      return thresholdDetail(refusal, pool)
    case .later:
      let longest = largestRun(refusal, operation)
      return
        "needs \(refusal.needed)\(longest > 0 ? " adjacent" : "") blocks\(kept(refusal)), "
        + "\(refusal.available) are available now"
        + (longest > 0 ? ", at most \(longest) of them in one run" : "")
    case .never:
      return "needs \(refusal.needed) blocks, more than the pool's \(blocks)"
    case .noRun:
      return
        "needs \(refusal.needed) adjacent blocks\(kept(refusal)): \(refusal.available) are available, "
        + "at most \(refusal.limit) of them in one run"
    case .quota: return limit(refusal)
    case .fenced: return "the session was fenced off"
    case .notHeld: return "block \(refusal.subject) is not held by this session"
    case .staleGeneration:
      return "block \(refusal.subject) was handed out again since that generation"
    case .unknownSequence: return "there is no sequence \(refusal.sequence)"
    case .sequenceExists: return "there is a sequence \(refusal.sequence) already"
    case .wrongState: return wrongState(refusal, operation, pool)
    case .unknownCopy: return "there is no copy \(refusal.subject) to acknowledge"
    case .operationIDReused: return "the operation id was used for another command"
    case .operationIDTooOld: return "the operation id is too old to be remembered"
    case .revisionMoved: return "is not the pool's revision, \(pool.revision)"
    case .invalid: return contentRule(refusal, operation, pool) ?? rule(refusal, operation)
    case .notAttempted:
      return "was not attempted: an earlier refusal or preemption, or the token budget is used up"
    }
  }

  /// Of a swap that the host tier stands in the way of; nil for all other refusals.
  private static func hostDetail(
    _ refusal: Refusal, _ operation: Operation?, _ pool: KVPool
  ) -> String? {
    if refusal.field == .hostBlocks { return "config.host_blocks is 0: the pool has no host tier" }
    guard case .swapOut = operation?.kind else { return nil }
    switch refusal.reason {
    case .later:
      return
        "needs \(refusal.needed) host blocks, \(refusal.available) are available now"
    case .never:
      return
        "needs \(refusal.needed) host blocks, more than the host tier's "
        + "\(pool.configuration.hostBlocks)"
    default: return nil
    }
  }

  /// `config.admission_threshold` is what refused.
  private static func thresholdDetail(_ refusal: Refusal, _ pool: KVPool) -> String {
    let stats = pool.stats()
    let share = pool.configuration.admission.threshold ?? 1
    let rule =
      "config.admission_threshold \(share) lets admissions fill \(stats.admissionLimit) of "
      + "\(stats.blocks) blocks"
    if refusal.reason == .never { return "needs \(refusal.needed) blocks: \(rule)" }
    let used = stats.blocks - refusal.available
    let owed = UInt64(refusal.watermark) - UInt64(stats.blocks - stats.admissionLimit)
    return "needs \(refusal.needed) blocks: \(rule), \(used) are used, \(owed) more are owed to "
      + "sequences that run and \(refusal.reserved) reserved"
  }

  /// Of a size class that is short of blocks; nil for all other refusals.
  private static func classDetail(_ refusal: Refusal, _ pool: KVPool) -> String? {
    let classes = pool.configuration.sizeClasses
    let index = Int(refusal.sizeClass) - 1
    guard classes.indices.contains(index) else { return nil }
    let name = "size class \(refusal.sizeClass) (\(classes[index].blockSize) tokens a block)"
    switch refusal.reason {
    case .later:
      return
        "needs \(refusal.needed) blocks of \(name)\(kept(refusal)), \(refusal.available) are "
        + "available now"
    case .never:
      return "needs \(refusal.needed) blocks of \(name), more than its \(classes[index].blocks)"
    default: return nil
    }
  }

  /// What is kept back beside the blocks that are needed.
  private static func kept(_ refusal: Refusal) -> String {
    switch (refusal.reserved, refusal.watermark) {
    case (0, 0): ""
    case (_, 0): " beside \(refusal.reserved) reserved"
    case (0, _): " beside the watermark of \(refusal.watermark)"
    default: " beside \(refusal.reserved) reserved and the watermark of \(refusal.watermark)"
    }
  }

  /// The limit of the domain that was reached: of a block, of a command or of the pool.
  private static func limit(_ refusal: Refusal) -> String {
    switch refusal.field {
    case .reservation:
      return
        "needs \(refusal.needed) blocks, and \(refusal.limit) were reserved for the sequence when it "
        + "was admitted"
    case .work:
      return
        "makes the command look at more than the limit of \(refusal.limit) table entries and cached "
        + "blocks"
    case .extraKeys:
      return
        "makes the command hash more than the limit of \(refusal.limit) bytes of LoRA names, "
        + "multimodal identifiers and other extra keys, counted for each block"
    default: break
    }
    if refusal.subject != 0 {
      return "would pass the limit of \(refusal.limit) for block \(refusal.subject)"
    }
    if refusal.needed > 0 {
      return
        "takes \(refusal.needed) blocks more, past the limit of \(refusal.limit) in one command"
    }
    return "would be more than the limit of \(refusal.limit) sequences in a pool"
  }

  private static func wrongState(
    _ refusal: Refusal, _ operation: Operation?, _ pool: KVPool
  ) -> String {
    let sequence = refusal.sequence
    if refusal.field == .strategy {
      return "config.strategy reserves a run for each sequence: its blocks do not move"
    }
    if refusal.field == .reservation {
      return "block \(refusal.subject) is part of a sequence's reserved run"
    }
    return switch operation?.kind {
    case .admit where pool.state(of: sequence) == .swapped: "sequence \(sequence) is swapped out"
    case .admit: "sequence \(sequence) is running already"
    case .extend, .decode, .preempt, .swapOut: "sequence \(sequence) is not running"
    case .swapIn: "sequence \(sequence) is not swapped out"
    case .reserve: "sequence \(sequence) is running and takes what it needs itself"
    case .cacheBlocks: "block \(refusal.subject) has other content already"
    case .resetPrefixCache where pool.configuration.hostBlocks > 0:
      "\(refusal.needed - refusal.available) blocks are held, here or of the host tier by sequences "
        + "that are swapped out; free them first"
    case .resetPrefixCache:
      "\(refusal.needed - refusal.available) blocks are held; free them first"
    case .applyDefragment:
      "plan.moves[\(refusal.limit)]: block \(refusal.subject) cannot move or is not available"
    default: "sequence \(sequence) is in the wrong state for this"
    }
  }

  /// The rule that an invalid field broke, to follow its name.
  private static func rule(_ refusal: Refusal, _ operation: Operation?) -> String {
    let limit = refusal.limit
    switch refusal.field {
    case .preferredBlockIDs: return "names block \(refusal.subject), outside 1...\(limit)"
    case .blockIDs, .blockID:
      if isEmptyList(operation) { return "must name at least one block" }
      return "names block \(refusal.subject), outside 1...\(limit)"
    case .generations: return "must be none, one for all, or one for each of \(limit) blocks"
    case .count where isAcquisition(operation):
      return "must be at least 1 where there are no hashes"
    case .count: return "must be at least 1"
    case .blocksNeeded: return "must be at least \(limit)"
    case .lazyFreeBatch where limit == 0: return "is of no use: allocations need runs"
    case .lazyFreeBatch: return "must be at most \(limit)"
    case .proactiveFreeBlocks where limit == 0:
      return "is of no use: the pool caches no prefixes, or has size classes"
    case .proactiveFreeBlocks: return "must be at most the pool's blocks, \(limit)"
    case .rungs: return "names an unknown rung, or one twice, at index \(limit)"
    case .blocks where limit == 0: return "must be 0 where a promise is released"
    case .blocks: return "must be at least \(limit)"
    case .filledTokens: return "must be at most the block size, \(limit)"
    case .copyIDs: return "must name at least one copy, unless up_to does"
    case .upTo, .acknowledgedCopyID: return "is past the last copy ordered, \(limit)"
    case .appendCounts where refusal.sequence != 0:
      return "takes sequence \(refusal.sequence) past the limit of \(limit) tokens"
    case .appendCounts, .scheduleCounts:
      return "must be empty or one for each of \(limit) sequences"
    case .lookaheadTokens, .inFlightTokens:
      return "must be none, one for all, or one for each of \(limit) sequences"
    case .label: return "must be at most \(limit) bytes"
    case .dropTokens, .uncomputeTokens: return "must be at most \(limit)"
    case .sequenceIDs where refusal.sequence != 0:
      return "names sequence \(refusal.sequence) twice, again at index \(limit)"
    case .sequenceIDs, .childIDs, .victimOrder: return "must name at least one sequence"
    case .sequenceID: return "must be the same as add.sequence_id"
    case .blockHashes where isAcquisition(operation): return hashRule(limit)
    case .blockHashes where isPin(operation):
      return limit == 0 ? hashRule(0) : pinRule(operation, limit)
    case .blockHashes where limit == 0: return hashRule(0)
    case .blockHashes: return "must have \(limit) bytes"
    case .hashCounts where refusal.sequence != 0:
      return "must be 0 or \(limit) for sequence \(refusal.sequence)"
    case .hashCounts: return "must be empty or one for each of \(limit) sequences"
    case .tokenCount where limit == 1 && namesNoTokens(operation): return "must be at least 1"
    case .tokenCount: return "takes the sequence past the limit of \(limit) tokens"
    case .eviction where limit > 0: return "must be lru: the pool has size classes"
    case .eviction: return "must be lru: the pool caches no prefixes"
    case .retention:
      return
        "must have at most \(limit) ranges, each of a priority of at most 100 and no end before its start"
    case .watermark: return "must be at least 0 and less than 1"
    case .sizeClass where refusal.subject > 0:
      return "must be \(refusal.subject), that of sequence \(refusal.sequence), or 0"
    case .sizeClass: return sizeClassRule(limit)
    case .contiguousBlocks:
      return "must be 1...\(limit), the blocks of the pool or of its size class"
    case .plan: return "must be set"
    case .planMoves:
      return "names block \(refusal.subject), which does not exist, at index \(limit)"
    case .admissionThreshold, .ifRevision, .maxTokensNow, .hostBlocks, .none, .reservation,
      .tokenIDs, .keptTokens, .parentHash,
      .multimodal, .promptEmbedsDigest, .loraPath, .planRevision, .strategy, .work,
      .extraKeys:
      return "is out of its limits (\(limit))"
    }
  }

  /// Of the number of a size class; `limit` is how many there are.
  static func sizeClassRule(_ limit: UInt64) -> String {
    limit == 0
      ? "must be 0: the pool has no size classes"
      : "must be at most \(limit), the number of size classes, or 0"
  }

  /// Of hashes in any number; `limit` is the bytes of one, 0 in a pool that caches nothing.
  static func hashRule(_ limit: UInt64) -> String {
    limit == 0
      ? "is of no use: the pool caches no prefixes" : "must be hashes of \(limit) bytes each"
  }

  private static func namesNoTokens(_ operation: Operation?) -> Bool {
    switch operation?.kind {
    case .add(let new): new.tokens == 0
    case .admit(let new): new.add?.tokens == 0
    case .append(_, let tokens, _, _): tokens == 0
    default: true
    }
  }

  static func isAcquisition(_ operation: Operation?) -> Bool {
    if case .acquire = operation?.kind { return true }
    return false
  }

  static func isPin(_ operation: Operation?) -> Bool {
    if case .pin = operation?.kind { return true }
    return false
  }

  /// `limit` is the bytes of one hash, or of all where the message counts tokens, too.
  private static func pinRule(_ operation: Operation?, _ limit: UInt64) -> String {
    if case .pin(let request) = operation?.kind, request.tokens > 0, request.blockHashes.count > 0 {
      return "must have \(limit) bytes"
    }
    return "must be hashes of \(limit) bytes each, one at least, where there are no token_ids"
  }

  private static func isEmptyList(_ operation: Operation?) -> Bool {
    switch operation?.kind {
    case .freeBlocks(let ids, _), .forkBlocks(let ids, _): ids.isEmpty
    case .cacheBlocks(let ids, _, _), .evictBlocks(let ids): ids.isEmpty
    default: false
    }
  }
}

extension KVPool {
  /// nil where the default session has no such sequence.
  fileprivate func state(of sequence: SequenceID) -> SequenceState? {
    describe(session: 0, sequence: sequence)?.state
  }
}
