internal import CQuireProtos

// sequences.proto and scheduler.proto, as far as they promise blocks and find some.

package struct ReserveRequest: WireMessage {
  package static var kind: MessageKind { .reserveRequest }
  private let m: UnsafePointer<Quire__V1__ReserveRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ReserveRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var reserve: ReserveMessage? { m.pointee.reserve.map { .init($0) } }
}

package struct ReserveMessage {
  private let m: UnsafePointer<Quire__V1__Reserve>
  init(_ m: UnsafePointer<Quire__V1__Reserve>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  package var blocks: UInt32 { m.pointee.blocks }
  package var releases: Bool { m.pointee.release != 0 }
  package var sizeClass: UInt32 { m.pointee.size_class }
}

package struct AdviseVictimsRequest: WireMessage {
  package static var kind: MessageKind { .adviseVictimsRequest }
  private let m: UnsafePointer<Quire__V1__AdviseVictimsRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AdviseVictimsRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var sizeClass: UInt32 { m.pointee.size_class }
  package var blocksNeeded: UInt32 { m.pointee.blocks_needed }
  package var keepSequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.keep_sequence_ids, m.pointee.n_keep_sequence_ids)
  }
  /// 0 = as many as it takes.
  package var maxVictims: UInt32 { m.pointee.max_victims }
  /// Raw value of `VictimOrder`; 0 = the default.
  package var order: UInt32 { m.pointee.order.rawValue }
}

/// The values of a `Victim`.
package struct VictimFields {
  package var sequenceID: UInt64
  package var freedBlocks: UInt32
  package var recomputeTokens: UInt32
  package var priority: Int32
  package var why: String

  package init(
    sequenceID: UInt64, freedBlocks: UInt32, recomputeTokens: UInt32, priority: Int32, why: String
  ) {
    self.sequenceID = sequenceID
    self.freedBlocks = freedBlocks
    self.recomputeTokens = recomputeTokens
    self.priority = priority
    self.why = why
  }
}

package struct RecoverRequest: WireMessage {
  package static var kind: MessageKind { .recoverRequest }
  private let m: UnsafePointer<Quire__V1__RecoverRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__RecoverRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var recover: RecoverMessage? { m.pointee.recover.map { .init($0) } }
}

package struct RecoverMessage {
  private let m: UnsafePointer<Quire__V1__Recover>
  init(_ m: UnsafePointer<Quire__V1__Recover>) { self.m = m }
  package var sizeClass: UInt32 { m.pointee.size_class }
  package var blocksNeeded: UInt32 { m.pointee.blocks_needed }
  package var isContiguous: Bool { m.pointee.contiguous != 0 }
  /// 0 = the default.
  package var maxMoves: UInt32 { m.pointee.max_moves }
  /// Raw values of `RecoverRung`.
  package var rungs: UnsafeBufferPointer<UInt32> {
    // An imported C enum is its raw value.
    UnsafeBufferPointer(
      start: UnsafeRawPointer(m.pointee.rungs)?.assumingMemoryBound(to: UInt32.self),
      count: m.pointee.n_rungs)
  }
  package var keepSequenceIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.keep_sequence_ids, m.pointee.n_keep_sequence_ids)
  }
}

package struct FlushRequest: WireMessage {
  package static var kind: MessageKind { .flushRequest }
  private let m: UnsafePointer<Quire__V1__FlushRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__FlushRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
}

/// The values of a `RecoverReport`.
package struct RecoverReportFields {
  /// Raw value of `RecoverRung`.
  package var rung: UInt32
  package var freedBlocks: UInt32
  package var largestRun: UInt32
  package var isSufficient: Bool
  package var detail: String
  package var evictedBlocks: UInt32
  package var isSkipped: Bool
  package var moves: UInt32

  package init(
    rung: UInt32, freedBlocks: UInt32, largestRun: UInt32, isSufficient: Bool, detail: String,
    evictedBlocks: UInt32, isSkipped: Bool, moves: UInt32
  ) {
    self.rung = rung
    self.freedBlocks = freedBlocks
    self.largestRun = largestRun
    self.moves = moves
    self.isSufficient = isSufficient
    self.detail = detail
    self.evictedBlocks = evictedBlocks
    self.isSkipped = isSkipped
  }
}

// MARK: Replies

extension MessagePacker {
  package mutating func reserveReply(
    revision: UInt64, reservedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(3, availableBlocks)
    uint32(2, reservedBlocks)
    uint64(1, revision)
  }

  package mutating func flushReply(
    revision: UInt64, freedBlocks: UInt32, evictedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(4, availableBlocks)
    uint32(3, evictedBlocks)
    uint32(2, freedBlocks)
    uint64(1, revision)
  }

  /// Field of `copies` in `RecoverReply`, packed between `recoverReplyAfterCopies` and
  /// `recoverReplyBeforeCopies`.
  package static var recoverCopiesField: UInt32 { 4 }

  package mutating func recoverReplyAfterCopies(availableBlocks: UInt32) {
    uint32(5, availableBlocks)
  }

  /// Before the reports, of which the last one is packed first.
  package mutating func recoverReplyBeforeCopies(
    preemptedSequenceIDs: UnsafeBufferPointer<UInt64>
  ) {
    packedFixed64(3, preemptedSequenceIDs)
  }

  package mutating func recoverReport(_ report: RecoverReportFields) {
    let mark = mark
    uint32(8, report.moves)
    bool(7, report.isSkipped)
    uint32(6, report.evictedBlocks)
    text(5, report.detail)
    bool(4, report.isSufficient)
    uint32(3, report.largestRun)
    uint32(2, report.freedBlocks)
    uint32(1, report.rung)
    close(2, since: mark)
  }

  package mutating func recoverReplyBeforeReports(revision: UInt64) { uint64(1, revision) }

  /// The fields behind the victims, which are packed next, the last one first.
  package mutating func adviseVictimsReplyAfterVictims(
    availableBlocks: UInt32, isSufficient: Bool
  ) {
    bool(4, isSufficient)
    uint32(3, availableBlocks)
  }

  package mutating func advisedVictim(_ victim: VictimFields) {
    let mark = mark
    text(5, victim.why)
    sint32(4, victim.priority)
    uint32(3, victim.recomputeTokens)
    uint32(2, victim.freedBlocks)
    uint64(1, victim.sequenceID)
    close(2, since: mark)
  }

  package mutating func adviseVictimsReplyBeforeVictims(revision: UInt64) { uint64(1, revision) }
}
