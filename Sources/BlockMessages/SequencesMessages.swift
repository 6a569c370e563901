internal import CQuireProtos

// sequences.proto: requests as views; replies by the packer.

package struct AddRequest: WireMessage {
  package static var kind: MessageKind { .addRequest }
  private let m: UnsafePointer<Quire__V1__AddRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AddRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var add: AddMessage? { m.pointee.add.map { .init($0) } }
}

package struct AddMessage {
  private let m: UnsafePointer<Quire__V1__Add>
  init(_ m: UnsafePointer<Quire__V1__Add>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var content: ContentMessage { .init(m.pointee.content) }
  package var options: OptionsMessage { .init(m.pointee.options) }
}

package struct AdmitRequest: WireMessage {
  package static var kind: MessageKind { .admitRequest }
  private let m: UnsafePointer<Quire__V1__AdmitRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AdmitRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var admit: AdmitMessage? { m.pointee.admit.map { .init($0) } }
}

package struct AdmitMessage {
  private let m: UnsafePointer<Quire__V1__Admit>
  init(_ m: UnsafePointer<Quire__V1__Admit>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var add: AddMessage? { m.pointee.add.map { .init($0) } }
  package var keepsOnRefusal: Bool { m.pointee.keep_on_refusal != 0 }
  /// 0 = all.
  package var maxTokensNow: UInt32 { m.pointee.max_tokens_now }
  package var lookaheadTokens: UInt32 { m.pointee.lookahead_tokens }
  package var allowsPartialFit: Bool { m.pointee.allow_partial_fit != 0 }
  package var delaysCommit: Bool { m.pointee.delay_commit != 0 }
  package var reservedBlocks: UInt32 { m.pointee.reserved_blocks }
  package var ignoresWatermark: Bool { m.pointee.ignore_watermark != 0 }
  package var externalComputedTokens: UInt32 { m.pointee.external_computed_tokens }
}

package struct ExtendRequest: WireMessage {
  package static var kind: MessageKind { .extendRequest }
  private let m: UnsafePointer<Quire__V1__ExtendRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ExtendRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var extend: ExtendMessage? { m.pointee.extend.map { .init($0) } }
}

package struct ExtendMessage {
  private let m: UnsafePointer<Quire__V1__Extend>
  init(_ m: UnsafePointer<Quire__V1__Extend>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var append: ContentMessage { .init(m.pointee.append) }
  /// 0 = all.
  package var maxTokensNow: UInt32 { m.pointee.max_tokens_now }
  package var lookaheadTokens: UInt32 { m.pointee.lookahead_tokens }
  package var delaysCommit: Bool { m.pointee.delay_commit != 0 }
  package var reservedBlocks: UInt32 { m.pointee.reserved_blocks }
  package var inFlightTokens: UInt32 { m.pointee.in_flight_tokens }
}

package struct AppendRequest: WireMessage {
  package static var kind: MessageKind { .appendRequest }
  private let m: UnsafePointer<Quire__V1__AppendRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AppendRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var append: AppendMessage? { m.pointee.append.map { .init($0) } }
}

package struct AppendMessage {
  private let m: UnsafePointer<Quire__V1__Append>
  init(_ m: UnsafePointer<Quire__V1__Append>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var content: ContentMessage { .init(m.pointee.content) }
}

package struct ForkRequest: WireMessage {
  package static var kind: MessageKind { .forkRequest }
  private let m: UnsafePointer<Quire__V1__ForkRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ForkRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var fork: ForkMessage? { m.pointee.fork.map { .init($0) } }
}

package struct ForkMessage {
  private let m: UnsafePointer<Quire__V1__Fork>
  init(_ m: UnsafePointer<Quire__V1__Fork>) { self.m = m }
  package var parentID: UInt64 { m.pointee.parent_id }
  package var childIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.child_ids, m.pointee.n_child_ids)
  }
}

package struct RewindRequest: WireMessage {
  package static var kind: MessageKind { .rewindRequest }
  private let m: UnsafePointer<Quire__V1__RewindRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__RewindRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var rewind: RewindMessage? { m.pointee.rewind.map { .init($0) } }
}

package struct RewindMessage {
  private let m: UnsafePointer<Quire__V1__Rewind>
  init(_ m: UnsafePointer<Quire__V1__Rewind>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var uncomputeTokens: UInt32 { m.pointee.uncompute_tokens }
  package var dropTokens: UInt32 { m.pointee.drop_tokens }
  package var releasesBlocks: Bool { m.pointee.release_blocks != 0 }
}

package struct PreemptRequest: WireMessage {
  package static var kind: MessageKind { .preemptRequest }
  private let m: UnsafePointer<Quire__V1__PreemptRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__PreemptRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var preempt: PreemptMessage? { m.pointee.preempt.map { .init($0) } }
}

package struct PreemptMessage {
  private let m: UnsafePointer<Quire__V1__Preempt>
  init(_ m: UnsafePointer<Quire__V1__Preempt>) { self.m = m }
  package var sequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.sequence_ids, m.pointee.n_sequence_ids)
  }
}

package struct FreeSequencesRequest: WireMessage {
  package static var kind: MessageKind { .freeSequencesRequest }
  private let m: UnsafePointer<Quire__V1__FreeSequencesRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__FreeSequencesRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var freeSequences: FreeSequencesMessage? { m.pointee.free_sequences.map { .init($0) } }
}

package struct FreeSequencesMessage {
  private let m: UnsafePointer<Quire__V1__FreeSequences>
  init(_ m: UnsafePointer<Quire__V1__FreeSequences>) { self.m = m }
  package var sequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.sequence_ids, m.pointee.n_sequence_ids)
  }
  package var ignoresMissing: Bool { m.pointee.ignore_missing != 0 }
}

package struct GetSequenceRequest: WireMessage {
  package static var kind: MessageKind { .getSequenceRequest }
  private let m: UnsafePointer<Quire__V1__GetSequenceRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetSequenceRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
}

package struct ListSequencesRequest: WireMessage {
  package static var kind: MessageKind { .listSequencesRequest }
  private let m: UnsafePointer<Quire__V1__ListSequencesRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ListSequencesRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// 0 = the server's choice.
  package var pageSize: UInt32 { m.pointee.page_size }
  package var pageToken: UnsafeBufferPointer<UInt8> { text(m.pointee.page_token) }
  /// Raw value of `SequenceState`; 0 = any.
  package var state: UInt32 { m.pointee.state.rawValue }
  package var includesBlockIDs: Bool { m.pointee.with_block_ids != 0 }
}

// MARK: Replies

/// The values of a `Sequence`. The buffers are borrowed.
package struct SequenceFields {
  package var sequenceID: UInt64 = 0
  package var session: UInt64 = 0
  package var label = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
  /// Raw value of `SequenceState`.
  package var state: UInt32 = 0
  package var tokens: UInt32 = 0
  package var computedTokens: UInt32 = 0
  package var blockIDs = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
  package var exclusiveBlocks: UInt32 = 0
  package var sharedBlocks: UInt32 = 0
  package var runs: UInt32 = 0
  package var preemptions: UInt32 = 0
  package var priority: Int32 = 0
  package var admittedRevision: UInt64 = 0
  /// The number of its size class, from 1; 0 in a pool without.
  package var sizeClass: UInt32 = 0
  package var reservedBlocks: UInt32 = 0

  package init() {}
}

/// Each packs the fields of its message; inside a step's result `revision` stays 0, for the step
/// says it once. Copies are packed by the caller between two calls, in the place of their field.
extension MessagePacker {
  package mutating func addReply(revision: UInt64, tokens: UInt32, blocksNeeded: UInt32) {
    uint32(3, blocksNeeded)
    uint32(2, tokens)
    uint64(1, revision)
  }

  /// Field of `copies` in `AdmitReply`, packed between the two halves.
  package static var admitCopiesField: UInt32 { 6 }

  package mutating func admitReplyAfterCopies(
    availableBlocks: UInt32, evictedBlocks: UInt32, nullPrefixBlocks: UInt32
  ) {
    uint32(9, nullPrefixBlocks)
    uint32(8, availableBlocks)
    uint32(7, evictedBlocks)
  }

  package mutating func admitReplyBeforeCopies(
    revision: UInt64, cachedTokens: UInt32, scheduledTokens: UInt32,
    cachedBlockIDs: UnsafeBufferPointer<UInt32>, newBlockIDs: UnsafeBufferPointer<UInt32>
  ) {
    packedUInt32(5, newBlockIDs)
    packedUInt32(4, cachedBlockIDs)
    uint32(3, scheduledTokens)
    uint32(2, cachedTokens)
    uint64(1, revision)
  }

  /// Field of `copies` in `ExtendReply`, packed between the two halves.
  package static var extendCopiesField: UInt32 { 4 }

  package mutating func extendReplyAfterCopies(
    availableBlocks: UInt32, evictedBlocks: UInt32, nullPrefixBlocks: UInt32,
    preemptedSequenceIDs: UnsafeBufferPointer<UInt64>
  ) {
    packedFixed64(8, preemptedSequenceIDs)
    uint32(7, nullPrefixBlocks)
    uint32(6, availableBlocks)
    uint32(5, evictedBlocks)
  }

  package mutating func extendReplyBeforeCopies(
    revision: UInt64, scheduledTokens: UInt32, newBlockIDs: UnsafeBufferPointer<UInt32>
  ) {
    packedUInt32(3, newBlockIDs)
    uint32(2, scheduledTokens)
    uint64(1, revision)
  }

  package mutating func appendReply(revision: UInt64, tokens: UInt32) {
    uint32(2, tokens)
    uint64(1, revision)
  }

  package mutating func forkReply(
    revision: UInt64, children: UInt32, sharedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(4, availableBlocks)
    uint32(3, sharedBlocks)
    uint32(2, children)
    uint64(1, revision)
  }

  package mutating func rewindReply(
    revision: UInt64, freedBlocks: UInt32, availableBlocks: UInt32, tokens: UInt32,
    computedTokens: UInt32
  ) {
    uint32(5, computedTokens)
    uint32(4, tokens)
    uint32(3, availableBlocks)
    uint32(2, freedBlocks)
    uint64(1, revision)
  }

  package mutating func preemptReply(
    revision: UInt64, freedBlocks: UInt32, availableBlocks: UInt32, preemptedSequences: UInt32
  ) {
    uint32(4, preemptedSequences)
    uint32(3, availableBlocks)
    uint32(2, freedBlocks)
    uint64(1, revision)
  }

  package mutating func freeSequencesReply(
    revision: UInt64, freedBlocks: UInt32, freedSequences: UInt32, availableBlocks: UInt32
  ) {
    uint32(4, availableBlocks)
    uint32(3, freedSequences)
    uint32(2, freedBlocks)
    uint64(1, revision)
  }

  package mutating func sequence(_ sequence: SequenceFields) {
    uint32(15, sequence.reservedBlocks)
    uint32(14, sequence.sizeClass)
    uint64(13, sequence.admittedRevision)
    sint32(12, sequence.priority)
    uint32(11, sequence.preemptions)
    uint32(10, sequence.runs)
    uint32(9, sequence.sharedBlocks)
    uint32(8, sequence.exclusiveBlocks)
    packedUInt32(7, sequence.blockIDs)
    uint32(6, sequence.computedTokens)
    uint32(5, sequence.tokens)
    uint32(4, sequence.state)
    text(3, sequence.label)
    fixed64(2, sequence.session)
    uint64(1, sequence.sequenceID)
  }

  /// `sequences`, last first, each with `listedSequence`, go between the two halves.
  package mutating func listSequencesReplyAfterSequences(nextPageToken: String) {
    text(3, nextPageToken)
  }

  package mutating func listedSequence(_ fields: SequenceFields) {
    let mark = mark
    sequence(fields)
    close(2, since: mark)
  }

  package mutating func listSequencesReplyBeforeSequences(revision: UInt64) {
    uint64(1, revision)
  }
}
