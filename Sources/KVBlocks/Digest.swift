/// A 64-bit digest of a stream of words: the same words in the same order give the same value in
/// every process. Guards against divergence, not against an adversary.
///
/// The step is wyhash's: a full 64 x 64 multiplication folded by exclusive or.
struct Digest: BitwiseCopyable {
  private(set) var value: UInt64

  /// From the beginning, or from where another one was.
  init(value: UInt64 = 0x9E37_79B9_7F4A_7C15) { self.value = value }

  @inline(__always)
  mutating func add(_ a: UInt64, _ b: UInt64 = 0) {
    let product = (value ^ a ^ 0xA076_1D64_78BD_642F).multipliedFullWidth(
      by: b ^ 0xE703_7ED1_A0B4_28DB)
    value = product.high ^ product.low ^ (value &<< 1)
  }

  /// Two halves in one word.
  @inline(__always)
  mutating func add(_ a: UInt32, _ b: UInt32, _ c: UInt32 = 0, _ d: UInt32 = 0) {
    add(UInt64(a) << 32 | UInt64(b), UInt64(c) << 32 | UInt64(d))
  }

  mutating func add(_ words: UnsafeBufferPointer<UInt64>) {
    add(UInt64(words.count))
    var i = 0
    while i + 1 < words.count {
      add(words[i], words[i + 1])
      i += 2
    }
    if i < words.count { add(words[i]) }
  }

  mutating func add(_ words: UnsafeBufferPointer<UInt32>) {
    add(UInt64(words.count))
    var i = 0
    while i + 3 < words.count {
      add(words[i], words[i + 1], words[i + 2], words[i + 3])
      i += 4
    }
    while i < words.count {
      add(UInt64(words[i]))
      i += 1
    }
  }

  mutating func add(_ bytes: UnsafeBufferPointer<UInt8>) {
    add(UInt64(bytes.count))
    var word: UInt64 = 0
    for i in 0..<bytes.count {
      word = word << 8 | UInt64(bytes[i])
      if i & 7 == 7 {
        add(word)
        word = 0
      }
    }
    if bytes.count & 7 != 0 { add(word) }
  }

  mutating func add(_ refusal: Refusal) {
    if refusal.reason == .none { return add(0) }
    add(
      UInt64(refusal.reason.rawValue) | UInt64(refusal.field.rawValue) << 8,
      UInt64(refusal.needed) << 32 | UInt64(refusal.available))
    if refusal.evictable > 0 || refusal.watermark > 0 || refusal.reserved > 0 {
      add(
        UInt64(refusal.evictable), UInt64(refusal.reserved) << 32 | UInt64(refusal.watermark))
    }
    if refusal.sizeClass > 0 { add(UInt64(refusal.sizeClass)) }
    add(refusal.limit, refusal.sequence)
    add(refusal.subject)
  }
}

// MARK: - Commands and outcomes

extension Digest {
  mutating func add(_ command: Command) {
    var flags: UInt64 = command.isDryRun ? 1 : 0
    if command.isStep { flags |= 2 }
    if command.refusesAdmissionAfterPreemption { flags |= 4 }
    flags |= UInt64(command.onRefusal.rawValue) << 8
    if command.victimPolicy != .fcfs { flags |= UInt64(command.victimPolicy.rawValue) << 16 }
    flags |= UInt64(command.tokenBudget) << 32
    add(command.session, flags)
    add(command.ifRevision, command.acknowledgedCopyID)
    for i in 0..<command.operations.count {
      add(command.operations.baseAddress.unsafelyUnwrapped + i)
    }
  }

  private mutating func add(_ operation: UnsafePointer<Operation>) {
    if operation.pointee.problem.reason != .none { add(operation.pointee.problem) }
    let mode = UInt64(operation.pointee.onRefusal.rawValue)
    if operation.pointee.isAllocate {
      return add(1 | mode << 8, UInt64(operation.pointee.allocateCount))
    }
    switch operation.pointee.kind {
    case .allocate: return
    case .place(let place):
      add(60 | mode << 8)
      add(place)
    case .freeBlocks(let ids, let generations):
      add(2 | mode << 8)
      add(ids)
      add(generations)
    case .forkBlocks(let ids, let generations):
      add(3 | mode << 8)
      add(ids)
      add(generations)
    case .copyOnWrite(let id, let filledTokens):
      add(4 | mode << 8, UInt64(id) << 32 | UInt64(filledTokens))
    case .acknowledgeCopies(let ids, let upTo):
      add(5 | mode << 8, upTo)
      add(ids)
    case .add(let new):
      add(6 | mode << 8)
      add(new)
    case .admit(let admit):
      add(7 | mode << 8, admit.sequence)
      add(
        (admit.keepsOnRefusal ? 1 : 0) | (admit.allowsPartialFit ? 2 : 0)
          | (admit.delaysCommit ? 4 : 0) | (admit.ignoresWatermark ? 8 : 0),
        admit.maxTokensNow, admit.lookaheadTokens, admit.reservedBlocks)
      if admit.externalComputedTokens > 0 { add(UInt64(admit.externalComputedTokens)) }
      if let new = admit.add { add(new) }
    case .extend(let extend):
      add(8 | mode << 8, extend.sequence)
      add(extend.appendTokens, extend.maxTokensNow, extend.lookaheadTokens, extend.reservedBlocks)
      if extend.delaysCommit { add(1) }
      if extend.inFlightTokens > 0 { add(2, UInt64(extend.inFlightTokens)) }
      if extend.blockHashes.count > 0 { add(hashes: extend.blockHashes) }
      if extend.tokenIDs.count > 0 { add(extend.tokenIDs) }
    case .append(let sequence, let tokens, let hashes, let ids):
      add(9 | mode << 8 | UInt64(tokens) << 32, sequence)
      if hashes.count > 0 { add(hashes: hashes) }
      if ids.count > 0 { add(ids) }
    case .fork(let parent, let children):
      add(10 | mode << 8, parent)
      add(children)
    case .rewind(let rewind):
      add(11 | mode << 8, rewind.sequence)
      add(rewind.uncomputeTokens, rewind.dropTokens, rewind.releasesBlocks ? 1 : 0)
    case .preempt(let ids):
      add(12 | mode << 8)
      add(ids)
    case .swapOut(let ids):
      add(50 | mode << 8)
      add(ids)
    case .swapIn(let ids):
      add(51 | mode << 8)
      add(ids)
    case .applyDefragment(let revision, let moves):
      add(52 | mode << 8, revision)
      add(UInt64(moves.count))
      for move in moves { add(UInt64(move.source), UInt64(move.target)) }
    case .freeSequences(let ids, let ignoresMissing):
      add(13 | mode << 8, ignoresMissing ? 1 : 0)
      add(ids)
    case .reserve(let reserve):
      add(20 | mode << 8, reserve.sequence)
      add(reserve.blocks, reserve.releases ? 1 : 0)
      if reserve.sizeClass > 0 { add(UInt64(reserve.sizeClass)) }
    case .flush: add(22 | mode << 8)
    case .recover(let recover):
      add(21 | mode << 8)
      add(recover)
    case .decode(let decode):
      add(14 | mode << 8)
      add(decode.sequences)
      add(decode.appendCounts)
      add(decode.scheduleCounts)
      add(decode.lookaheadTokens)
      add(decode.victimOrder)
      if decode.delaysCommit || decode.commitsPrevious {
        add(decode.delaysCommit ? 1 : 0, decode.commitsPrevious ? 1 : 0)
      }
      if decode.blockHashes.count > 0 { add(hashes: decode.blockHashes) }
      if decode.hashCounts.count > 0 { add(decode.hashCounts) }
      if decode.tokenIDs.count > 0 { add(decode.tokenIDs) }
      if decode.inFlightTokens.count > 0 {
        add(2)
        add(decode.inFlightTokens)
      }
    case .commit(let sequence, let tokens):
      add(15 | mode << 8 | UInt64(tokens) << 32, sequence)
    case .acquire(let hashes, let count, let sizeClass):
      add(16 | mode << 8 | UInt64(sizeClass) << 32, UInt64(count))
      add(hashes: hashes)
    case .cacheBlocks(let ids, let hashes, let parent):
      add(17 | mode << 8)
      add(ids)
      add(hashes: hashes)
      if parent.count > 0 { add(hashes: parent) }
    case .evictBlocks(let ids):
      add(18 | mode << 8)
      add(ids)
    case .resetPrefixCache(let preempts): add(19 | mode << 8, preempts ? 1 : 0)
    case .updatePool(let update):
      add(41 | mode << 8)
      add(update)
    case .pin(let pin):
      add(40 | mode << 8)
      add(pin)
    }
  }

  private mutating func add(_ new: AddSequence) {
    add(new.sequence, UInt64(new.tokens) << 32 | UInt64(UInt32(bitPattern: new.priority)))
    add(UInt64(new.expectedTokens))
    add(new.label)
    if new.skipsPrefixLookup { add(1) }
    if new.retention.count > 0 { add(new.retention) }
    if new.sizeClass > 0 { add(2, UInt64(new.sizeClass)) }
    if new.blockHashes.count > 0 { add(hashes: new.blockHashes) }
    if new.tokenIDs.count > 0 { add(new.tokenIDs) }
    if new.extraKeys.count > 0 { add(hashes: new.extraKeys) }
  }

  mutating func add(_ outcome: Outcome) {
    add(outcome.revision, UInt64(outcome.availableBlocks))
    for i in 0..<outcome.results.count {
      let result = outcome.results.base + i
      add(result.pointee.refusal)
      if result.pointee.firstRefusal.reason != .none { add(result.pointee.firstRefusal) }
      add(
        result.pointee.scheduledTokens, result.pointee.tokens, result.pointee.freedBlocks,
        result.pointee.affected)
      add(
        result.pointee.block, result.pointee.availableBlocks, result.pointee.blocksNeeded,
        result.pointee.computedTokens)
      add(result.pointee.sharedBlocks, result.pointee.pendingCopies)
      if result.pointee.cachedTokens > 0 || result.pointee.evictedBlocks > 0 {
        add(UInt64(result.pointee.cachedTokens), UInt64(result.pointee.evictedBlocks))
      }
      if result.pointee.budgetBlocks > 0 { add(UInt64(result.pointee.budgetBlocks)) }
      if result.pointee.availableHostBlocks > 0 {
        add(UInt64(result.pointee.availableHostBlocks))
      }
      if result.pointee.nullBlocks > 0 { add(UInt64(result.pointee.nullBlocks)) }
    }
    add(outcome.blocks.elements)
    if outcome.cached.count > 0 { add(outcome.cached.elements) }
    if outcome.counts.count > 0 { add(outcome.counts.elements) }
    if outcome.nullCounts.count > 0 { add(outcome.nullCounts.elements) }
    if outcome.refusedIndexes.count > 0 { add(outcome.refusedIndexes.elements) }
    if outcome.preempted.count > 0 { add(outcome.preempted.elements) }
    if outcome.mustZero.count > 0 { add(outcome.mustZero.elements) }
    for report in outcome.reports.elements { add(report) }
    if outcome.abandoned.count > 0 { add(outcome.abandoned.elements) }
    for copy in outcome.copies.elements {
      add(copy.id, copy.sequence)
      add(copy.source, copy.target, copy.tokens, copy.tableIndex << 1 | (copy.isRaw ? 1 : 0))
      if copy.kind != .write { add(UInt64(copy.kind.rawValue)) }
    }
  }
}
