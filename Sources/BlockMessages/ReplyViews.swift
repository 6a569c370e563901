internal import CQuireProtos

// What clients receive. Replies are views over the decoder's arena, valid until its next message.

package struct AllocateReplyMessage: WireMessage {
  package static var kind: MessageKind { .allocateReply }
  private let m: UnsafePointer<Quire__V1__AllocateReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AllocateReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  package var availableBlocks: UInt32 { m.pointee.available_blocks }
}

package struct FreeReplyMessage: WireMessage {
  package static var kind: MessageKind { .freeReply }
  private let m: UnsafePointer<Quire__V1__FreeReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__FreeReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var freedBlocks: UInt32 { m.pointee.freed_blocks }
  package var availableBlocks: UInt32 { m.pointee.available_blocks }
}

package struct StepReplyMessage: WireMessage {
  package static var kind: MessageKind { .stepReply }
  private let m: UnsafePointer<Quire__V1__StepReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__StepReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  /// Of the request as a whole; then nothing changed.
  package var refusal: RefusalFields? { .init(m.pointee.refusal) }
  package var availableBlocks: UInt32 { m.pointee.available_blocks }
  package var resultCount: Int { m.pointee.n_results }
  package func result(_ index: Int) -> OperationResultMessage {
    precondition(index >= 0 && index < m.pointee.n_results, "a result outside its step")
    // protobuf-c leaves no gaps in a list of messages.
    return OperationResultMessage(m.pointee.results[index]!)
  }
  package var stats: StatsFields? { m.pointee.stats.map { .init($0) } }
}

/// `OpResult`.
package struct OperationResultMessage {
  private let m: UnsafePointer<Quire__V1__OpResult>
  init(_ m: UnsafePointer<Quire__V1__OpResult>) { self.m = m }

  /// nil: the operation stands.
  package var refusal: RefusalFields? { .init(m.pointee.refusal) }
  package var isRefused: Bool { m.pointee.refusal != nil }
  /// Raw value of `RefusalReason`, without the texts that `refusal` copies; 0 = no refusal.
  package var refusalReason: UInt32 { m.pointee.refusal?.pointee.reason.rawValue ?? 0 }

  package enum Reply {
    case none
    case decode(DecodeResultMessage)
    case admit(SlotsReply)
    case extend(SlotsReply)
    case append(tokens: UInt32)
    case commit(committedTokens: UInt32, cachedBlocks: UInt32)
    case fork(children: UInt32)
    case rewind(freedBlocks: UInt32)
    case preempt(freedBlocks: UInt32, sequences: UInt32)
    case freeSequences(freedBlocks: UInt32, sequences: UInt32)
    case ackCopies(acknowledged: UInt32)
    case add(tokens: UInt32, blocksNeeded: UInt32)
    case reserve(reservedBlocks: UInt32)
    case allocate(AllocateReplyMessage)
    case freeBlocks(FreeReplyMessage)
    case forkBlocks(refCounts: UnsafeBufferPointer<UInt32>)
    case copyOnWrite(block: UInt32, copy: CopyOrderFields?)
    case acquire(AcquireReplyMessage)
    case cacheBlocks(cachedBlocks: UInt32)
    case evictBlocks(evictedBlocks: UInt32)
  }

  package var reply: Reply {
    switch m.pointee.reply_case {
    case QUIRE__V1__OP_RESULT__REPLY_DECODE: .decode(.init(m.pointee.decode))
    case QUIRE__V1__OP_RESULT__REPLY_ADMIT: .admit(SlotsReply(m.pointee.admit.pointee))
    case QUIRE__V1__OP_RESULT__REPLY_EXTEND: .extend(SlotsReply(m.pointee.extend.pointee))
    case QUIRE__V1__OP_RESULT__REPLY_APPEND: .append(tokens: m.pointee.append.pointee.tokens)
    case QUIRE__V1__OP_RESULT__REPLY_COMMIT:
      .commit(
        committedTokens: m.pointee.commit.pointee.committed_tokens,
        cachedBlocks: m.pointee.commit.pointee.cached_blocks)
    case QUIRE__V1__OP_RESULT__REPLY_FORK: .fork(children: m.pointee.fork.pointee.children)
    case QUIRE__V1__OP_RESULT__REPLY_REWIND:
      .rewind(freedBlocks: m.pointee.rewind.pointee.freed_blocks)
    case QUIRE__V1__OP_RESULT__REPLY_PREEMPT:
      .preempt(
        freedBlocks: m.pointee.preempt.pointee.freed_blocks,
        sequences: m.pointee.preempt.pointee.preempted_sequences)
    case QUIRE__V1__OP_RESULT__REPLY_FREE_SEQUENCES:
      .freeSequences(
        freedBlocks: m.pointee.free_sequences.pointee.freed_blocks,
        sequences: m.pointee.free_sequences.pointee.freed_sequences)
    case QUIRE__V1__OP_RESULT__REPLY_ACK_COPIES:
      .ackCopies(acknowledged: m.pointee.ack_copies.pointee.acknowledged)
    case QUIRE__V1__OP_RESULT__REPLY_ADD:
      .add(tokens: m.pointee.add.pointee.tokens, blocksNeeded: m.pointee.add.pointee.blocks_needed)
    case QUIRE__V1__OP_RESULT__REPLY_RESERVE:
      .reserve(reservedBlocks: m.pointee.reserve.pointee.reserved_blocks)
    case QUIRE__V1__OP_RESULT__REPLY_ALLOCATE:
      .allocate(.init(UnsafeRawPointer(m.pointee.allocate!)))
    case QUIRE__V1__OP_RESULT__REPLY_FREE_BLOCKS:
      .freeBlocks(.init(UnsafeRawPointer(m.pointee.free_blocks!)))
    case QUIRE__V1__OP_RESULT__REPLY_FORK_BLOCKS:
      .forkBlocks(
        refCounts: list(
          m.pointee.fork_blocks.pointee.ref_counts, m.pointee.fork_blocks.pointee.n_ref_counts))
    case QUIRE__V1__OP_RESULT__REPLY_COPY_ON_WRITE:
      .copyOnWrite(
        block: m.pointee.copy_on_write.pointee.block_id,
        copy: m.pointee.copy_on_write.pointee.copy.map { CopyOrderFields($0.pointee) })
    case QUIRE__V1__OP_RESULT__REPLY_ACQUIRE:
      .acquire(.init(UnsafeRawPointer(m.pointee.acquire!)))
    case QUIRE__V1__OP_RESULT__REPLY_CACHE_BLOCKS:
      .cacheBlocks(cachedBlocks: m.pointee.cache_blocks.pointee.cached_blocks)
    case QUIRE__V1__OP_RESULT__REPLY_EVICT_BLOCKS:
      .evictBlocks(evictedBlocks: m.pointee.evict_blocks.pointee.evicted_blocks)
    default: .none
    }
  }
}

/// What `AdmitReply` and `ExtendReply` have in common.
package struct SlotsReply {
  package var scheduledTokens: UInt32
  package var newBlockIDs: UnsafeBufferPointer<UInt32>
  package var availableBlocks: UInt32
  package var copies: [CopyOrderFields]
  /// Of an admission only.
  package var cachedTokens: UInt32 = 0
  package var cachedBlockIDs = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
  /// Of an extension only.
  package var preemptedSequenceIDs = UnsafeBufferPointer<UInt64>(start: nil, count: 0)

  init(_ m: Quire__V1__AdmitReply) {
    scheduledTokens = m.scheduled_tokens
    newBlockIDs = list(m.new_block_ids, m.n_new_block_ids)
    availableBlocks = m.available_blocks
    copies = copyOrders(m.copies, m.n_copies)
    cachedTokens = m.cached_tokens
    cachedBlockIDs = list(m.cached_block_ids, m.n_cached_block_ids)
  }

  init(_ m: Quire__V1__ExtendReply) {
    scheduledTokens = m.scheduled_tokens
    newBlockIDs = list(m.new_block_ids, m.n_new_block_ids)
    availableBlocks = m.available_blocks
    copies = copyOrders(m.copies, m.n_copies)
    preemptedSequenceIDs = list(m.preempted_sequence_ids, m.n_preempted_sequence_ids)
  }
}

package struct DecodeResultMessage {
  private let m: UnsafePointer<Quire__V1__DecodeResult>
  init(_ m: UnsafePointer<Quire__V1__DecodeResult>) { self.m = m }
  /// One per sequence; empty when none needed a block.
  package var newBlockCounts: UnsafeBufferPointer<UInt32> {
    list(m.pointee.new_block_counts, m.pointee.n_new_block_counts)
  }
  package var newBlockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.new_block_ids, m.pointee.n_new_block_ids)
  }
  /// Indexes into the request's sequences.
  package var refused: UnsafeBufferPointer<UInt32> { list(m.pointee.refused, m.pointee.n_refused) }
  package var firstRefusal: RefusalFields? { .init(m.pointee.first_refusal) }
  package var preemptedSequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.preempted_sequence_ids, m.pointee.n_preempted_sequence_ids)
  }
  package var copies: [CopyOrderFields] { copyOrders(m.pointee.copies, m.pointee.n_copies) }
}

package struct StatsMessage: WireMessage {
  package static var kind: MessageKind { .stats }
  package let fields: StatsFields
  package init(_ message: UnsafeRawPointer) {
    fields = StatsFields(message.assumingMemoryBound(to: Quire__V1__Stats.self))
  }
}

package struct PoolInfoMessage: WireMessage {
  package static var kind: MessageKind { .poolInfo }
  package let fields: PoolInfoFields
  package init(_ message: UnsafeRawPointer) {
    fields = PoolInfoFields(message.assumingMemoryBound(to: Quire__V1__PoolInfo.self).pointee)
  }
}

package struct DigestMessage: WireMessage {
  package static var kind: MessageKind { .digest }
  package let revision: UInt64
  package let historyDigest: UInt64
  package let stateDigest: UInt64
  package init(_ message: UnsafeRawPointer) {
    let m = message.assumingMemoryBound(to: Quire__V1__Digest.self).pointee
    revision = m.revision
    historyDigest = m.history_digest
    stateDigest = m.state_digest
  }
}

package struct SequenceMessage: WireMessage {
  package static var kind: MessageKind { .sequence }
  package let fields: SequenceFields
  package init(_ message: UnsafeRawPointer) {
    fields = SequenceFields(message.assumingMemoryBound(to: Quire__V1__Sequence.self).pointee)
  }
}

package struct ListSequencesReplyMessage: WireMessage {
  package static var kind: MessageKind { .listSequencesReply }
  private let m: UnsafePointer<Quire__V1__ListSequencesReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ListSequencesReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var count: Int { m.pointee.n_sequences }
  package func sequence(_ index: Int) -> SequenceFields {
    precondition(index >= 0 && index < count, "a sequence outside its page")
    // protobuf-c leaves no gaps in a list of messages.
    return SequenceFields(m.pointee.sequences[index]!.pointee)
  }
  /// Empty: this was the last page.
  package var nextPageToken: String {
    String(decoding: text(m.pointee.next_page_token), as: UTF8.self)
  }
}

package struct ListPoolsReplyMessage: WireMessage {
  package static var kind: MessageKind { .listPoolsReply }
  package let pools: [PoolInfoFields]
  /// Empty: this was the last page.
  package let nextPageToken: String
  package init(_ message: UnsafeRawPointer) {
    let m = message.assumingMemoryBound(to: Quire__V1__ListPoolsReply.self).pointee
    // protobuf-c leaves no gaps in a list of messages.
    pools = list(m.pools, m.n_pools).map { PoolInfoFields($0!.pointee) }
    nextPageToken = String(decoding: text(m.next_page_token), as: UTF8.self)
  }
}
