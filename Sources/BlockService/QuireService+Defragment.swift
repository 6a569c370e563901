internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Pools: moving blocks together.
extension QuireService {
  func planDefragment(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(PlanDefragmentRequest.self, bytes)
    let hosted = try readPool(request.call)
    let goal: DefragmentGoal =
      switch request.goal {
      case .longestRun: .longestRun
      case .contiguousBlocks(let count): .contiguous(count)
      case .sequence(let id): .sequence(id)
      }
    let plan: DefragmentPlan
    do throws(Refusal) {
      plan = try hosted.pool.planDefragment(
        session: 0, goal, maxMoves: request.maxMoves, sizeClass: request.sizeClass)
    } catch {
      throw CallFailure(RefusalStatus.make(error, of: nil, in: hosted.pool))
    }
    packer.reset()
    packer.planAfterMoves(
      largestRun: (plan.largestRunBefore, plan.largestRunAfter),
      largestFreeRun: (plan.largestFreeRunBefore, plan.largestFreeRunAfter),
      tokensToCopy: plan.tokensToCopy, isSufficient: plan.isSufficient)
    for move in plan.moves.reversed() {
      packer.planMove(
        source: move.source, target: move.target, tokens: move.tokens, sequenceID: move.sequence)
    }
    packer.planBeforeMoves(revision: plan.revision)
    send(reply)
  }

  func applyDefragment(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(ApplyDefragmentRequest.self, bytes)
    guard let plan = request.plan else { throw .missing("plan") }
    contents.begin()
    let result = try apply(
      OperationReader.applyDefragment(plan, contents), request.call, named: "")
    packer.reset()
    packApplyDefragmentReply(result)
    send(reply)
  }

  func packApplyDefragmentReply(_ result: OperationResult) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.applyDefragmentReplyAfterCopies(availableBlocks: result.availableBlocks)
    packCopies(MessagePacker.applyDefragmentCopiesField, result)
    packer.applyDefragmentReplyBeforeCopies(revision: outcome.revision)
  }
}

extension OperationReader {
  static func applyDefragment(
    _ plan: PlanMessage?, _ contents: ContentReader
  ) -> Operation.Kind {
    .applyDefragment(revision: plan?.revision ?? 0, contents.moves(plan))
  }
}
