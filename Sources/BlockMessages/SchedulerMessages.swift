internal import CQuireProtos

// scheduler.proto: a step's request as views; its reply by the packer.

/// `OnRefusal`, as the wire has it; the decoder has refused other values.
package enum OnRefusalValue: UInt32, Sendable {
  case unspecified = 0
  case `continue` = 1
  case stop = 2
  case preempt = 3
  case abort = 4

  init(_ value: Quire__V1__OnRefusal) {
    self = OnRefusalValue(rawValue: value.rawValue) ?? .unspecified
  }
}

package struct StepRequest: WireMessage {
  package static var kind: MessageKind { .stepRequest }
  private let m: UnsafePointer<Quire__V1__StepRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__StepRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var operationCount: Int { m.pointee.n_ops }
  package func operation(_ index: Int) -> OperationMessage {
    precondition(index >= 0 && index < m.pointee.n_ops, "an operation outside its step")
    // protobuf-c leaves no gaps in a list of messages.
    return OperationMessage(m.pointee.ops[index]!)
  }
  package var onRefusal: OnRefusalValue { .init(m.pointee.on_refusal) }
  /// 0 = none.
  package var tokenBudget: UInt32 { m.pointee.token_budget }
  package var refusesAdmissionAfterPreemption: Bool { m.pointee.no_admit_after_preemption != 0 }
  /// 0 = none.
  package var ackedCopyID: UInt64 { m.pointee.acked_copy_id }
  package var wantsStats: Bool { m.pointee.with_stats != 0 }
  /// Raw value of `VictimPolicy`; 0 = the default.
  package var victimPolicy: UInt32 { m.pointee.victim_policy.rawValue }
}

/// `Op`.
package struct OperationMessage {
  private let m: UnsafePointer<Quire__V1__Op>
  init(_ m: UnsafePointer<Quire__V1__Op>) { self.m = m }

  package var onRefusal: OnRefusalValue { .init(m.pointee.on_refusal) }

  package enum Kind {
    case decode(DecodeMessage)
    case admit(AdmitMessage)
    case extend(ExtendMessage)
    case append(AppendMessage)
    case commit(CommitMessage)
    case fork(ForkMessage)
    case rewind(RewindMessage)
    case preempt(PreemptMessage)
    case swapOut(SwapMessage)
    case swapIn(SwapMessage)
    case freeSequences(FreeSequencesMessage)
    case reserve(ReserveMessage)
    case recover(RecoverMessage)
    case flush
    case applyDefragment(ApplyDefragmentMessage)
    case resetPrefixCache(ResetPrefixCacheMessage)
    case pin(PinMessage)
    case ackCopies(AckCopiesMessage)
    case add(AddMessage)
    case allocate(AllocateMessage)
    case freeBlocks(FreeBlocksMessage)
    case forkBlocks(ForkBlocksMessage)
    case copyOnWrite(CopyOnWriteMessage)
    case acquire(AcquireMessage)
    case cacheBlocks(CacheBlocksMessage)
    case evictBlocks(EvictBlocksMessage)
  }

  /// nil when no operation is named, or one that the decoder should have refused.
  package var kind: Kind? {
    switch m.pointee.op_case {
    case QUIRE__V1__OP__OP_DECODE: .decode(.init(m.pointee.decode))
    case QUIRE__V1__OP__OP_ADMIT: .admit(.init(m.pointee.admit))
    case QUIRE__V1__OP__OP_EXTEND: .extend(.init(m.pointee.extend))
    case QUIRE__V1__OP__OP_APPEND: .append(.init(m.pointee.append))
    case QUIRE__V1__OP__OP_COMMIT: .commit(.init(m.pointee.commit))
    case QUIRE__V1__OP__OP_FORK: .fork(.init(m.pointee.fork))
    case QUIRE__V1__OP__OP_REWIND: .rewind(.init(m.pointee.rewind))
    case QUIRE__V1__OP__OP_PREEMPT: .preempt(.init(m.pointee.preempt))
    case QUIRE__V1__OP__OP_SWAP_OUT: .swapOut(.init(m.pointee.swap_out))
    case QUIRE__V1__OP__OP_SWAP_IN: .swapIn(.init(m.pointee.swap_in))
    case QUIRE__V1__OP__OP_FREE_SEQUENCES: .freeSequences(.init(m.pointee.free_sequences))
    case QUIRE__V1__OP__OP_RESERVE: .reserve(.init(m.pointee.reserve))
    case QUIRE__V1__OP__OP_RECOVER: .recover(.init(m.pointee.recover))
    case QUIRE__V1__OP__OP_FLUSH: .flush
    case QUIRE__V1__OP__OP_APPLY_DEFRAGMENT: .applyDefragment(.init(m.pointee.apply_defragment))
    case QUIRE__V1__OP__OP_RESET_PREFIX_CACHE:
      .resetPrefixCache(.init(m.pointee.reset_prefix_cache))
    case QUIRE__V1__OP__OP_PIN: .pin(.init(m.pointee.pin))
    case QUIRE__V1__OP__OP_ACK_COPIES: .ackCopies(.init(m.pointee.ack_copies))
    case QUIRE__V1__OP__OP_ADD: .add(.init(m.pointee.add))
    case QUIRE__V1__OP__OP_ALLOCATE: .allocate(.init(m.pointee.allocate))
    case QUIRE__V1__OP__OP_FREE_BLOCKS: .freeBlocks(.init(m.pointee.free_blocks))
    case QUIRE__V1__OP__OP_FORK_BLOCKS: .forkBlocks(.init(m.pointee.fork_blocks))
    case QUIRE__V1__OP__OP_COPY_ON_WRITE: .copyOnWrite(.init(m.pointee.copy_on_write))
    case QUIRE__V1__OP__OP_ACQUIRE: .acquire(.init(m.pointee.acquire))
    case QUIRE__V1__OP__OP_CACHE_BLOCKS: .cacheBlocks(.init(m.pointee.cache_blocks))
    case QUIRE__V1__OP__OP_EVICT_BLOCKS: .evictBlocks(.init(m.pointee.evict_blocks))
    default: nil
    }
  }
}

package struct DecodeMessage {
  private let m: UnsafePointer<Quire__V1__Decode>
  init(_ m: UnsafePointer<Quire__V1__Decode>) { self.m = m }
  package var sequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.sequence_ids, m.pointee.n_sequence_ids)
  }
  package var appendCounts: UnsafeBufferPointer<UInt32> {
    list(m.pointee.append_counts, m.pointee.n_append_counts)
  }
  /// One sequence after the other.
  package var tokenIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.token_ids, m.pointee.n_token_ids)
  }
  package var scheduleCounts: UnsafeBufferPointer<UInt32> {
    list(m.pointee.schedule_counts, m.pointee.n_schedule_counts)
  }
  package var lookaheadTokens: UnsafeBufferPointer<UInt32> {
    list(m.pointee.lookahead_tokens, m.pointee.n_lookahead_tokens)
  }
  package var delaysCommit: Bool { m.pointee.delay_commit != 0 }
  package var commitsPrevious: Bool { m.pointee.commit_previous != 0 }
  package var inFlightTokens: UnsafeBufferPointer<UInt32> {
    list(m.pointee.in_flight_tokens, m.pointee.n_in_flight_tokens)
  }
  package var victimOrder: UnsafeBufferPointer<UInt64> {
    list(m.pointee.victim_order, m.pointee.n_victim_order)
  }
}

// MARK: Replies

/// The replies that an `OpResult` can hold, by their field numbers there.
package enum OperationReplyField: UInt32, Sendable {
  case decode = 2
  case admit = 3
  case extend = 4
  case append = 5
  case commit = 6
  case fork = 7
  case rewind = 8
  case preempt = 9
  case freeSequences = 10
  case ackCopies = 11
  case swapOut = 12
  case swapIn = 13
  case add = 14
  case pin = 16
  case reserve = 15
  case allocate = 20
  case freeBlocks = 21
  case forkBlocks = 22
  case copyOnWrite = 23
  case acquire = 24
  case cacheBlocks = 25
  case evictBlocks = 26
  case recover = 27
  case flush = 40
  case applyDefragment = 41
  case resetPrefixCache = 42
}

/// A `StepReply` is packed last field first: `stepReplyTail`, then the results from the last to the
/// first, then `stepReplyHead`.
extension MessagePacker {
  /// Field of `stats` in `StepReply`: the very first thing to pack.
  package static var stepStatsField: UInt32 { 6 }

  package mutating func stepReplyTail(availableBlocks: UInt32) { uint32(5, availableBlocks) }

  /// Ends a result that was packed since `mark`.
  package mutating func closeStepResult(since mark: Int) { close(4, since: mark) }

  /// Ends the reply inside a result.
  package mutating func closeOperationReply(_ field: OperationReplyField, since mark: Int) {
    close(field.rawValue, since: mark)
  }

  /// The refusal of an operation, after (on the wire: before) its reply.
  package mutating func operationRefusal(_ refusal: RefusalFields) { self.refusal(1, refusal) }

  package mutating func stepReplyHead(revision: UInt64, refusal: RefusalFields?) {
    if let refusal { self.refusal(3, refusal) }
    uint64(1, revision)
  }

  /// Field of `copies` in `DecodeResult`, packed between the two halves.
  package static var decodeCopiesField: UInt32 { 6 }

  package mutating func decodeResultAfterCopies(
    evictedBlocks: UInt32, nullPrefixBlocks: UnsafeBufferPointer<UInt32>
  ) {
    packedUInt32(8, nullPrefixBlocks)
    uint32(7, evictedBlocks)
  }

  package mutating func decodeResultBeforeCopies(
    newBlockCounts: UnsafeBufferPointer<UInt32>, newBlockIDs: UnsafeBufferPointer<UInt32>,
    refused: UnsafeBufferPointer<UInt32>, firstRefusal: RefusalFields?,
    preemptedSequenceIDs: UnsafeBufferPointer<UInt64>
  ) {
    packedFixed64(5, preemptedSequenceIDs)
    if let firstRefusal { refusal(4, firstRefusal) }
    packedUInt32(3, refused)
    packedUInt32(2, newBlockIDs)
    packedUInt32(1, newBlockCounts)
  }
}
