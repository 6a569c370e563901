internal import BlockMessages
package import Workloads

/// Writes `StepPlan`s as `StepRequest`s and reads `StepReply`s as `StepResult`s.
///
/// One for a connection: its buffers are reused, so that a step costs no allocation once they have
/// grown.
package struct StepCodec: ~Copyable {
  private var step: StepFields
  private var packer = MessagePacker()
  private let decoder = MessageDecoder()

  package init(pool: String) {
    step = StepFields(call: CallFields(pool: pool))
    step.refusesAdmissionAfterPreemption = true
  }

  /// The request for `plan`: free, decode (preempting), add, admit (stopping at the first refusal,
  /// and not after a preemption). Borrowed: valid until the next call.
  ///
  /// - Parameter ignoresMissing: Sequences to free that the pool does not know are passed over. For
  ///   cleaning up after a failure only.
  package mutating func request(
    for plan: StepPlan, ignoresMissing: Bool = false
  ) -> UnsafeRawBufferPointer {
    if !plan.freed.isEmpty {
      step.operations.append(.init(.freeSequences(plan.freed, ignoresMissing: ignoresMissing)))
    }
    if !plan.decoded.isEmpty {
      step.operations.append(
        .init(.decode(DecodeFields(sequenceIDs: plan.decoded)), onRefusal: .preempt))
    }
    var hash = 0
    for addition in plan.added {
      var add = AddFields(sequenceID: addition.sequence, tokenCount: addition.tokens)
      if addition.hashBytes > 0 {
        add.content.blockHashes = Array(plan.hashes[hash..<(hash + addition.hashBytes)])
        hash += addition.hashBytes
      }
      step.operations.append(.init(.add(add)))
    }
    for sequence in plan.admitted {
      step.operations.append(.init(.admit(AdmitFields(sequenceID: sequence)), onRefusal: .stop))
    }
    packer.reset()
    packer.stepRequest(step)
    // Now, not before the next step: lists that are still shared are copied when the plan changes.
    step.operations.removeAll(keepingCapacity: true)
    return packer.bytes
  }

  /// Reads the answer to `plan` into `result`. False when the bytes are no such message, or do not
  /// answer each operation in its kind; what they say of the pool is for the model to judge.
  package func read(
    _ reply: UnsafeRawBufferPointer, to plan: StepPlan, into result: inout StepResult
  ) -> Bool {
    result.removeAll()
    let message: StepReplyMessage
    do throws(DecodeFailure) {
      message = try decoder.decode(StepReplyMessage.self, from: reply)
    } catch {
      return false
    }
    result.availableBlocks = message.availableBlocks
    if let refusal = message.refusal {
      result.refused = Refused(reason: refusal.reason, detail: refusal.detail)
      return refusal.reason != 0
    }
    let decode = plan.freed.isEmpty ? 0 : 1
    let additions = decode + (plan.decoded.isEmpty ? 0 : 1)
    let admissions = additions + plan.added.count
    guard message.resultCount == admissions + plan.admitted.count else { return false }
    for index in 0..<message.resultCount {
      let answer = message.result(index)
      guard let refused = Self.refused(answer) else { return false }
      let isRead =
        if index < decode {
          Self.readFree(answer, refused, &result)
        } else if index < additions {
          Self.readDecode(answer, refused, &result)
        } else if index < admissions {
          Self.readAddition(answer, refused, &result)
        } else {
          Self.readAdmission(answer, refused, &result)
        }
      guard isRead else { return false }
    }
    return true
  }

  // MARK: - Results, one function each; false when the reply is another operation's

  private static func readFree(
    _ answer: OperationResultMessage, _ refused: Refused, _ result: inout StepResult
  ) -> Bool {
    result.freeRefused = refused
    if refused != .no { return true }
    guard case .freeSequences = answer.reply else { return false }
    return true
  }

  private static func readDecode(
    _ answer: OperationResultMessage, _ refused: Refused, _ result: inout StepResult
  ) -> Bool {
    result.decodeRefused = refused
    if refused != .no { return true }
    guard case .decode(let decode) = answer.reply else { return false }
    result.decodeBlockCounts.append(contentsOf: decode.newBlockCounts)
    result.decodeBlocks.append(contentsOf: decode.newBlockIDs)
    result.decodeRefusedIndexes.append(contentsOf: decode.refused)
    result.preempted.append(contentsOf: decode.preemptedSequenceIDs)
    if let first = decode.firstRefusal {
      result.decodeFirstRefused = Refused(
        reason: first.reason, detail: Refused.saysItAll(first.reason) ? "" : first.detail)
    }
    return true
  }

  private static func readAddition(
    _ answer: OperationResultMessage, _ refused: Refused, _ result: inout StepResult
  ) -> Bool {
    result.additions.append(refused)
    if refused != .no { return true }
    guard case .add = answer.reply else { return false }
    return true
  }

  private static func readAdmission(
    _ answer: OperationResultMessage, _ refused: Refused, _ result: inout StepResult
  ) -> Bool {
    guard refused == .no else {
      result.admissions.append(StepResult.Admission(refused: refused))
      return true
    }
    guard case .admit(let slots) = answer.reply else { return false }
    result.admissions.append(
      StepResult.Admission(
        newBlocks: slots.newBlockIDs.count, foundBlocks: slots.cachedBlockIDs.count,
        foundTokens: slots.cachedTokens))
    result.admissionBlocks.append(contentsOf: slots.newBlockIDs)
    result.foundBlocks.append(contentsOf: slots.cachedBlockIDs)
    return true
  }

  /// Nil: a refusal without a reason. The text is read only for reasons that a run does not expect.
  private static func refused(_ answer: OperationResultMessage) -> Refused? {
    guard answer.isRefused else { return .no }
    let reason = answer.refusalReason
    guard reason != 0 else { return nil }
    return Refused(
      reason: reason, detail: Refused.saysItAll(reason) ? "" : answer.refusal?.detail ?? "")
  }
}
