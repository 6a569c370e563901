internal import BlockMessages
internal import KVBlocks

/// Messages to operations. The operations borrow the lists of the messages, which lie in the
/// decoder's arena until the next message.
enum OperationReader {
  static func allocate(_ m: AllocateMessage) -> Operation.Kind {
    if let count = plainCount(m) { return .allocate(count: count) }
    return .place(
      PlaceBlocks(
        m.count, isContiguous: m.isContiguous, preferred: m.preferredBlockIDs,
        sizeClass: m.sizeClass))
  }

  /// Of a request for any blocks their number; nil where it says more about them.
  @inline(__always)
  static func plainCount(_ m: AllocateMessage) -> UInt32? {
    m.isContiguous || m.preferredBlockIDs.count > 0 || m.sizeClass > 0 ? nil : m.count
  }

  static func freeBlocks(_ m: FreeBlocksMessage) -> Operation.Kind {
    .freeBlocks(m.blockIDs, generations: m.generations)
  }

  static func forkBlocks(_ m: ForkBlocksMessage) -> Operation.Kind {
    .forkBlocks(m.blockIDs, generations: m.generations)
  }

  static func copyOnWrite(_ m: CopyOnWriteMessage) -> Operation.Kind {
    .copyOnWrite(m.blockID, filledTokens: m.filledTokens)
  }

  static func ackCopies(_ m: AckCopiesMessage) -> Operation.Kind {
    .acknowledgeCopies(m.copyIDs, upTo: m.upTo)
  }

  static func acquire(_ m: AcquireMessage) -> Operation.Kind {
    .acquire(blockHashes: m.blockHashes, count: m.allocateCount, sizeClass: m.sizeClass)
  }

  static func cacheBlocks(_ m: CacheBlocksMessage) -> Operation.Kind {
    .cacheBlocks(m.blockIDs, blockHashes: m.blockHashes, parentHash: m.parentHash)
  }

  static func evictBlocks(_ m: EvictBlocksMessage) -> Operation.Kind { .evictBlocks(m.blockIDs) }

  // Where there is content, its extra keys lie with `contents`, and so does what is wrong with them.

  static func add(_ m: AddMessage, _ contents: ContentReader) -> Operation.Kind {
    .add(sequence(m, contents))
  }

  static func sequence(_ m: AddMessage, _ contents: ContentReader) -> AddSequence {
    let content = m.content
    let options = m.options
    return AddSequence(
      sequence: m.sequenceID, tokens: content.tokens, priority: options.priority,
      expectedTokens: options.expectedTokens, label: options.label,
      blockHashes: content.blockHashes, tokenIDs: content.tokenIDs,
      extraKeys: contents.extraKeys(content, options, m.sequenceID),
      skipsPrefixLookup: options.skipsPrefixLookup, retention: contents.retention(options),
      sizeClass: options.sizeClass)
  }

  static func admit(_ m: AdmitMessage, _ contents: ContentReader) -> Operation.Kind {
    // With an `add` the sequence may be named there alone.
    let add = m.add.map { sequence($0, contents) }
    let named = m.sequenceID == 0 ? add?.sequence ?? 0 : m.sequenceID
    return .admit(
      Admit(
        sequence: named, add: add, keepsOnRefusal: m.keepsOnRefusal, maxTokensNow: m.maxTokensNow,
        lookaheadTokens: m.lookaheadTokens, allowsPartialFit: m.allowsPartialFit,
        reservedBlocks: m.reservedBlocks, delaysCommit: m.delaysCommit,
        ignoresWatermark: m.ignoresWatermark, externalComputedTokens: m.externalComputedTokens))
  }

  static func extend(_ m: ExtendMessage, _ contents: ContentReader) -> Operation.Kind {
    let content = m.append
    contents.checkAppended(content, m.sequenceID)
    return .extend(
      Extend(
        sequence: m.sequenceID, appendTokens: content.tokens, maxTokensNow: m.maxTokensNow,
        lookaheadTokens: m.lookaheadTokens, reservedBlocks: m.reservedBlocks,
        inFlightTokens: m.inFlightTokens, blockHashes: content.blockHashes,
        tokenIDs: content.tokenIDs, delaysCommit: m.delaysCommit))
  }

  static func append(_ m: AppendMessage, _ contents: ContentReader) -> Operation.Kind {
    let content = m.content
    contents.checkAppended(content, m.sequenceID)
    return .append(
      m.sequenceID, tokens: content.tokens, blockHashes: content.blockHashes,
      tokenIDs: content.tokenIDs)
  }

  static func commit(_ m: CommitMessage) -> Operation.Kind {
    .commit(m.sequenceID, tokens: m.tokens)
  }

  static func fork(_ m: ForkMessage) -> Operation.Kind {
    .fork(parent: m.parentID, children: m.childIDs)
  }

  static func rewind(_ m: RewindMessage) -> Operation.Kind {
    .rewind(
      Rewind(
        sequence: m.sequenceID, uncomputeTokens: m.uncomputeTokens, dropTokens: m.dropTokens,
        releasesBlocks: m.releasesBlocks))
  }

  static func preempt(_ m: PreemptMessage) -> Operation.Kind { .preempt(m.sequenceIDs) }

  static func swapOut(_ m: SwapMessage) -> Operation.Kind { .swapOut(m.sequenceIDs) }

  static func swapIn(_ m: SwapMessage) -> Operation.Kind { .swapIn(m.sequenceIDs) }

  static func freeSequences(_ m: FreeSequencesMessage) -> Operation.Kind {
    .freeSequences(m.sequenceIDs, ignoresMissing: m.ignoresMissing)
  }

  static func decode(_ m: DecodeMessage) -> Operation.Kind {
    .decode(
      Decode(
        sequences: m.sequenceIDs, appendCounts: m.appendCounts, scheduleCounts: m.scheduleCounts,
        lookaheadTokens: m.lookaheadTokens, inFlightTokens: m.inFlightTokens,
        victimOrder: m.victimOrder, tokenIDs: m.tokenIDs, delaysCommit: m.delaysCommit,
        commitsPrevious: m.commitsPrevious))
  }

  /// nil when the message names no operation.
  static func operation(_ m: OperationMessage, _ contents: ContentReader) -> Operation? {
    guard let kind = m.kind else { return nil }
    let operation: Operation.Kind =
      switch kind {
      case .decode(let m): decode(m)
      case .admit(let m): admit(m, contents)
      case .extend(let m): extend(m, contents)
      case .append(let m): append(m, contents)
      case .commit(let m): commit(m)
      case .fork(let m): fork(m)
      case .rewind(let m): rewind(m)
      case .preempt(let m): preempt(m)
      case .swapOut(let m): swapOut(m)
      case .swapIn(let m): swapIn(m)
      case .freeSequences(let m): freeSequences(m)
      case .reserve(let m): reserve(m)
      case .recover(let m): recover(m)
      case .flush: .flush
      case .applyDefragment(let m): applyDefragment(m.plan, contents)
      case .resetPrefixCache(let m): .resetPrefixCache(preemptsRunning: m.preemptsRunning)
      case .pin(let m): pin(m, contents)
      case .ackCopies(let m): ackCopies(m)
      case .add(let m): add(m, contents)
      case .allocate(let m): allocate(m)
      case .freeBlocks(let m): freeBlocks(m)
      case .forkBlocks(let m): forkBlocks(m)
      case .copyOnWrite(let m): copyOnWrite(m)
      case .acquire(let m): acquire(m)
      case .cacheBlocks(let m): cacheBlocks(m)
      case .evictBlocks(let m): evictBlocks(m)
      }
    return Operation(
      operation, onRefusal: onRefusal(m.onRefusal) ?? .inherit, problem: contents.takeProblem())
  }

  /// nil where the wire does not say.
  static func onRefusal(_ value: OnRefusalValue) -> OnRefusal? {
    switch value {
    case .unspecified: nil
    case .continue: .continue
    case .stop: .stop
    case .preempt: .preempt
    case .abort: .abort
    }
  }
}
