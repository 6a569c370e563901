// How the values of `RequestFields.swift` become messages. An operation is packed by one function,
// wherever it goes.

extension MessagePacker {
  /// The envelope, field 1 of every request.
  package mutating func call(_ call: CallFields) {
    let mark = mark
    bool(6, call.isDryRun)
    uint64(5, call.ifRevision)
    uint64(3, call.opID)
    fixed64(2, call.session)
    text(1, call.pool)
    close(1, since: mark)
  }

  /// A unary request of one operation: `AllocateRequest`, `AdmitRequest` and so on.
  package mutating func request(_ operation: OperationFields, call: CallFields = CallFields()) {
    let mark = mark
    fields(of: operation)
    close(2, since: mark)
    self.call(call)
  }

  package mutating func stepRequest(_ step: StepFields) {
    bool(7, step.wantsStats)
    uint64(6, step.ackedCopyID)
    bool(5, step.refusesAdmissionAfterPreemption)
    uint32(4, step.tokenBudget)
    uint32(3, step.onRefusal.rawValue)
    for item in step.operations.reversed() {
      let mark = mark
      let body = self.mark
      fields(of: item.operation)
      close(item.operation.field.rawValue, since: body)
      uint32(1, item.onRefusal.rawValue)
      close(2, since: mark)
    }
    call(step.call)
  }

  // MARK: Requests without an operation

  /// `GetPoolRequest`, and `GetDigestRequest`, `DeletePoolRequest`, `ResetPoolRequest`,
  /// `ResetPrefixCacheRequest` with `flag` (history only; force; preempt what runs).
  package mutating func poolRequest(call: CallFields, flag: Bool = false) {
    bool(2, flag)
    self.call(call)
  }

  package mutating func lookupBlocksRequest(
    call: CallFields = CallFields(), blockHashes: [UInt8]
  ) {
    let mark = mark
    blockHashes.withUnsafeBufferPointer { text(1, $0) }
    close(2, since: mark)
    self.call(call)
  }

  package mutating func createPoolRequest(
    name: String, config: PoolConfigFields, ifExists: IfExists = .error
  ) {
    uint32(4, ifExists.rawValue)
    poolConfig(3, config)
    text(2, name)
  }

  package mutating func listPoolsRequest(pageSize: UInt32 = 0, pageToken: String = "") {
    text(2, pageToken)
    uint32(1, pageSize)
  }

  package mutating func getStatsRequest(
    call: CallFields, includesRuns: Bool = false, includesSlots: Bool = false
  ) {
    let include: [UInt32] = (includesRuns ? [1] : []) + (includesSlots ? [2] : [])
    include.withUnsafeBufferPointer { packedUInt32(2, $0) }
    self.call(call)
  }

  package mutating func getSequenceRequest(call: CallFields, sequenceID: UInt64) {
    uint64(2, sequenceID)
    self.call(call)
  }

  package mutating func listSequencesRequest(
    call: CallFields, pageSize: UInt32 = 0, pageToken: String = "", state: UInt32 = 0,
    includesBlockIDs: Bool = false
  ) {
    bool(5, includesBlockIDs)
    uint32(4, state)
    text(3, pageToken)
    uint32(2, pageSize)
    self.call(call)
  }

  // MARK: Operations

  private mutating func fields(of operation: OperationFields) {
    switch operation {
    case .allocate(let count): uint32(1, count)
    case .freeBlocks(let ids, let generations), .forkBlocks(let ids, let generations):
      generations.withUnsafeBufferPointer { packedUInt32(2, $0) }
      ids.withUnsafeBufferPointer { packedUInt32(1, $0) }
    case .copyOnWrite(let block, let filledTokens):
      uint32(2, filledTokens)
      uint32(1, block)
    case .ackCopies(let ids, let upTo):
      uint64(2, upTo)
      ids.withUnsafeBufferPointer { packedUInt64(1, $0) }
    case .acquire(let hashes, let count):
      uint32(2, count)
      hashes.withUnsafeBufferPointer { text(1, $0) }
    case .cacheBlocks(let ids, let hashes, let parent):
      parent.withUnsafeBufferPointer { text(3, $0) }
      hashes.withUnsafeBufferPointer { text(2, $0) }
      ids.withUnsafeBufferPointer { packedUInt32(1, $0) }
    case .evictBlocks(let ids): ids.withUnsafeBufferPointer { packedUInt32(1, $0) }
    case .add(let add): self.add(add)
    case .admit(let admit): self.admit(admit)
    case .extend(let extend): self.extend(extend)
    case .append(let sequence, let tokens, let content):
      self.content(2, content, tokenCount: tokens)
      uint64(1, sequence)
    case .commit(let sequence, let tokens):
      uint32(2, tokens)
      uint64(1, sequence)
    case .fork(let parent, let children):
      children.withUnsafeBufferPointer { packedUInt64(2, $0) }
      uint64(1, parent)
    case .rewind(let sequence, let uncomputeTokens, let dropTokens, let releasesBlocks):
      bool(4, releasesBlocks)
      uint32(3, dropTokens)
      uint32(2, uncomputeTokens)
      uint64(1, sequence)
    case .preempt(let ids): ids.withUnsafeBufferPointer { packedUInt64(1, $0) }
    case .freeSequences(let ids, let ignoresMissing):
      bool(2, ignoresMissing)
      ids.withUnsafeBufferPointer { packedFixed64(1, $0) }
    case .reserve(let sequence, let blocks, let releases):
      bool(3, releases)
      uint32(2, blocks)
      uint64(1, sequence)
    case .decode(let decode): self.decode(decode)
    }
  }

  private mutating func content(
    _ field: UInt32, _ content: ContentFields, tokenCount: UInt32
  ) {
    var content = content
    if tokenCount > 0 { content.tokenCount = tokenCount }
    self.content(field, content)
  }

  private mutating func add(_ add: AddFields) {
    let mark = mark
    text(7, add.label)
    bool(6, add.hashing.skipsPrefixLookup)
    uint32(5, add.expectedTokens)
    sint32(4, add.priority)
    text(3, add.hashing.loraPath)
    text(2, add.hashing.loraName)
    text(1, add.hashing.cacheSalt)
    if self.mark > mark { close(3, since: mark) }
    content(2, add.content, tokenCount: add.tokenCount)
    uint64(1, add.sequenceID)
  }

  private mutating func admit(_ admit: AdmitFields) {
    uint32(10, admit.externalComputedTokens)
    uint32(8, admit.reservedBlocks)
    bool(7, admit.delaysCommit)
    bool(6, admit.allowsPartialFit)
    uint32(5, admit.lookaheadTokens)
    uint32(4, admit.maxTokensNow)
    bool(3, admit.keepsOnRefusal)
    if let add = admit.add {
      let mark = mark
      self.add(add)
      close(2, since: mark)
    }
    uint64(1, admit.sequenceID)
  }

  private mutating func extend(_ extend: ExtendFields) {
    uint32(6, extend.reservedBlocks)
    bool(5, extend.delaysCommit)
    uint32(4, extend.lookaheadTokens)
    uint32(3, extend.maxTokensNow)
    content(2, extend.append, tokenCount: extend.appendTokens)
    uint64(1, extend.sequenceID)
  }

  private mutating func decode(_ decode: DecodeFields) {
    decode.victimOrder.withUnsafeBufferPointer { packedFixed64(8, $0) }
    bool(7, decode.commitsPrevious)
    bool(6, decode.delaysCommit)
    decode.lookaheadTokens.withUnsafeBufferPointer { packedUInt32(5, $0) }
    decode.scheduleCounts.withUnsafeBufferPointer { packedUInt32(4, $0) }
    decode.tokenIDs.withUnsafeBufferPointer { packedFixed32(3, $0) }
    decode.appendCounts.withUnsafeBufferPointer { packedUInt32(2, $0) }
    decode.sequenceIDs.withUnsafeBufferPointer { packedFixed64(1, $0) }
  }
}
