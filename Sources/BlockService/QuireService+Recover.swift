internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Scheduler.Recover: the out-of-memory ladder.
extension QuireService {
  func recover(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(RecoverRequest.self, bytes)
    guard let recover = request.recover else { throw .missing("recover") }
    let result = try apply(OperationReader.recover(recover), request.call)
    packer.reset()
    packRecoverReply(result, isOfRun: recover.isContiguous)
    send(reply)
  }

  func packRecoverReply(_ result: OperationResult, isOfRun: Bool) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.recoverReplyAfterCopies(availableBlocks: result.availableBlocks)
    packCopies(MessagePacker.recoverCopiesField, result)
    packer.recoverReplyBeforeCopies(
      preemptedSequenceIDs: outcome.preempted.elements(result.preempted))
    for report in outcome.reports.elements(result.reports).reversed() {
      packer.recoverReport(RecoverReportFields(report, isOfRun: isOfRun))
    }
    packer.recoverReplyBeforeReports(revision: outcome.revision)
  }
}

extension RecoverReportFields {
  init(_ report: RungReport, isOfRun: Bool) {
    self.init(
      rung: UInt32(report.rung.rawValue), freedBlocks: report.freedBlocks,
      largestRun: report.largestRun, isSufficient: report.isSufficient,
      detail: isOfRun ? Self.ofRun(report) : Self.ofNumber(report),
      evictedBlocks: report.evictedBlocks, isSkipped: report.isSkipped, moves: report.moves)
  }

  private static func ofNumber(_ report: RungReport) -> String {
    switch report.rung {
    case .evict where report.isSkipped: "the blocks that would be handed out hold no content"
    case .evict: "took the content off \(report.evictedBlocks) cached blocks"
    case .defragment: "nothing to move: no adjacent blocks are asked for"
    case .preempt where report.isSkipped && report.isSufficient: "there was enough before"
    case .preempt where report.isSkipped: "there is nobody whose preemption frees a block"
    case .preempt: "preempting the lowest priorities frees \(report.freedBlocks) blocks"
    }
  }

  private static func ofRun(_ report: RungReport) -> String {
    switch report.rung {
    case .evict where report.isSkipped && report.isSufficient:
      "no content is in the way of the run"
    case .evict where report.isSkipped: "no eviction makes the run"
    case .evict: "took the content off \(report.evictedBlocks) cached blocks until the run was free"
    case .defragment where report.isSkipped && report.isSufficient: "there was a run before"
    case .defragment where report.isSkipped:
      "no move makes a longer run than the \(report.largestRun) blocks there are"
    case .defragment where report.isSufficient:
      "\(report.moves) moves make the run: it is there once their copies are acknowledged"
    case .defragment: "moves make no longer run than one of \(report.largestRun) blocks"
    case .preempt where report.isSkipped && report.isSufficient: "there was a run before"
    case .preempt where report.isSkipped: "there is nobody whose preemption frees a block"
    case .preempt:
      "preempting the lowest priorities frees \(report.freedBlocks) blocks, the longest run is then "
        + "\(report.largestRun)"
    }
  }
}

extension OperationReader {
  static func recover(_ m: RecoverMessage) -> Operation.Kind {
    .recover(
      Recover(
        blocksNeeded: m.blocksNeeded, rungs: m.rungs, keep: m.keepSequenceIDs,
        isContiguous: m.isContiguous, maxMoves: m.maxMoves, sizeClass: m.sizeClass))
  }
}
