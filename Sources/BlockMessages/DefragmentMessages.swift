internal import CQuireProtos

// pools.proto: plans of moves, and their application.

package struct PlanDefragmentRequest: WireMessage {
  package static var kind: MessageKind { .planDefragmentRequest }
  private let m: UnsafePointer<Quire__V1__PlanDefragmentRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__PlanDefragmentRequest.self)
  }

  package enum Goal {
    case longestRun
    case contiguousBlocks(UInt32)
    case sequence(UInt64)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var goal: Goal {
    switch m.pointee.goal_case {
    case QUIRE__V1__PLAN_DEFRAGMENT_REQUEST__GOAL_CONTIGUOUS_BLOCKS:
      .contiguousBlocks(m.pointee.contiguous_blocks)
    case QUIRE__V1__PLAN_DEFRAGMENT_REQUEST__GOAL_SEQUENCE_ID: .sequence(m.pointee.sequence_id)
    default: .longestRun
    }
  }
  /// 0 = the server's choice.
  package var maxMoves: UInt32 { m.pointee.max_moves }
  /// From 1; 0 = the pool's choice.
  package var sizeClass: UInt32 { m.pointee.size_class }
}

package struct ApplyDefragmentRequest: WireMessage {
  package static var kind: MessageKind { .applyDefragmentRequest }
  private let m: UnsafePointer<Quire__V1__ApplyDefragmentRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ApplyDefragmentRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var plan: PlanMessage? { m.pointee.plan.map { .init($0) } }
}

/// `ApplyDefragment`, the operation of a step.
package struct ApplyDefragmentMessage {
  private let m: UnsafePointer<Quire__V1__ApplyDefragment>
  init(_ m: UnsafePointer<Quire__V1__ApplyDefragment>) { self.m = m }
  package var plan: PlanMessage? { m.pointee.plan.map { .init($0) } }
}

/// `DefragmentPlan`, as far as it is read: what a server said of its plan it does not need to hear.
package struct PlanMessage {
  private let m: UnsafePointer<Quire__V1__DefragmentPlan>
  init(_ m: UnsafePointer<Quire__V1__DefragmentPlan>) { self.m = m }
  package var revision: UInt64 { m.pointee.revision }
  package var moveCount: Int { m.pointee.n_moves }
  package func move(_ index: Int) -> (source: UInt32, target: UInt32) {
    precondition(index >= 0 && index < m.pointee.n_moves, "a move outside its plan")
    // protobuf-c leaves no gaps in a list of messages.
    let move = m.pointee.moves[index]!.pointee
    return (move.source_block, move.target_block)
  }
}

/// A `DefragmentPlan` is packed last field first: what is said of it, its moves from the last to the
/// first, its revision.
extension MessagePacker {
  package mutating func planAfterMoves(
    largestRun: (before: UInt32, after: UInt32), largestFreeRun: (before: UInt32, after: UInt32),
    tokensToCopy: UInt64, isSufficient: Bool
  ) {
    uint32(8, largestFreeRun.after)
    uint32(7, largestFreeRun.before)
    bool(6, isSufficient)
    uint64(5, tokensToCopy)
    uint32(4, largestRun.after)
    uint32(3, largestRun.before)
  }

  package mutating func planMove(
    source: UInt32, target: UInt32, tokens: UInt32, sequenceID: UInt64
  ) {
    let mark = mark
    uint64(4, sequenceID)
    uint32(3, tokens)
    uint32(2, target)
    uint32(1, source)
    close(2, since: mark)
  }

  package mutating func planBeforeMoves(revision: UInt64) { uint64(1, revision) }

  /// Field of `copies` in `ApplyDefragmentReply`, packed between the two halves.
  package static var applyDefragmentCopiesField: UInt32 { 2 }

  package mutating func applyDefragmentReplyAfterCopies(availableBlocks: UInt32) {
    uint32(3, availableBlocks)
  }

  package mutating func applyDefragmentReplyBeforeCopies(revision: UInt64) { uint64(1, revision) }

  /// `abandoned_copy_ids` of an `AckCopiesReply` or a `StepReply`: the very first thing to pack.
  package mutating func abandonedCopies(_ ids: UnsafeBufferPointer<UInt64>) { packedUInt64(9, ids) }
}
