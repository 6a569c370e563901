/// What the parts of an answer mean for the requests, in the step's order.
extension SchedulerModel {
  mutating func applyFrees(_ result: StepResult, _ step: StepPlan) {
    if result.freeRefused != .no {
      metrics.error(
        "freeing \(step.freed.count) sequences was refused: \(Self.text(result.freeRefused))")
      metrics.invariantsBroken += 1
    }
    metrics.operations += UInt64(step.freed.count)
    for request in ending {
      filledSlots -= slots(of: request)
      ledger.release(&requests[Int(request)].holding)
      switch requests[Int(request)].end {
      case .finished: metrics.finished += 1
      case .neverFit: metrics.neverFit += 1
      case .cancelled: metrics.cancelled += 1
      case .failed: metrics.failed += 1
      case .none: preconditionFailure("a live request was freed")
      }
    }
    ending.removeAll(keepingCapacity: true)
  }

  /// Survivors grow, finish or stay; the preempted are left in `retained`, by admission.
  mutating func applyDecode(_ result: StepResult, _ step: StepPlan) {
    metrics.operations += UInt64(step.decoded.count)
    retained.removeAll(keepingCapacity: true)
    if isPreempted.count < requests.count {
      isPreempted = Array(repeating: false, count: requests.count)
    }
    for sequence in result.preempted {
      guard let request = request(sequence) else {
        metrics.error("a sequence of another client was preempted: \(sequence)")
        continue
      }
      isPreempted[Int(request)] = true
      filledSlots -= slots(of: request)
      ledger.release(&requests[Int(request)].holding)
    }

    var block = 0
    var refusal = 0
    var kept = 0
    for position in running.indices {
      let request = running[position]
      if !result.decodeBlockCounts.isEmpty {
        let count = Int(result.decodeBlockCounts[position])
        take(count, of: result.decodeBlocks, from: &block, for: request)
      }
      let isRefused =
        refusal < result.decodeRefusedIndexes.count
        && Int(result.decodeRefusedIndexes[refusal]) == position
      if isRefused { refusal += 1 }
      if isPreempted[Int(request)] {
        isPreempted[Int(request)] = false
        retained.append(request)
        preempted(request)
      } else if isRefused {
        // Alone and still too large: it cannot be finished in this pool.
        let refused = result.decodeFirstRefused
        // What runs here does not run there: a server that began anew, or that forgot.
        if !refused.isNever, failure == nil { fail("a decode was refused", refused) }
        end(request, refused.isNever ? .neverFit : .failed)
      } else {
        filledSlots += 1
        grown(request)
        if requests[Int(request)].end == .none {
          running[kept] = request
          kept += 1
        }
      }
    }
    running.removeSubrange(kept...)
    if retained.count != result.preempted.count {
      broken("\(result.preempted.count - retained.count) sequences were preempted that do not run")
      for request in isPreempted.indices { isPreempted[request] = false }
    }
    if block != result.decodeBlocks.count {
      broken("the decode handed out \(result.decodeBlocks.count - block) blocks to nobody")
    }
  }

  mutating func applyAdditions(_ result: StepResult, _ step: StepPlan) {
    metrics.operations += UInt64(step.added.count)
    for (addition, refused) in zip(step.added, result.additions) where refused != .no {
      guard let request = request(addition.sequence) else { continue }
      // The pool knows nothing of it, so there is nothing to free.
      waiting.remove(request)
      if refused.isNever {
        requests[Int(request)].end = .neverFit
        metrics.neverFit += 1
      } else {
        requests[Int(request)].end = .failed
        metrics.failed += 1
        metrics.error("adding a sequence was refused: \(Self.text(refused))")
      }
    }
  }

  mutating func applyAdmissions(
    _ result: StepResult, _ step: StepPlan, _ received: UInt64
  ) {
    var block = 0
    var found = 0
    var leftInLine: [Int32] = []
    for (sequence, admission) in zip(step.admitted, result.admissions) {
      guard let request = request(sequence), requests[Int(request)].end == .none else { continue }
      let first = waiting.removeFirst()
      precondition(first == request, "the line is not the one that was sent")
      if !admission.refused.isNotAttempted { metrics.operations += 1 }
      if admission.refused == .no {
        take(
          admission.foundBlocks, of: result.foundBlocks, from: &found, for: request, isFound: true)
        take(admission.newBlocks, of: result.admissionBlocks, from: &block, for: request)
        running.append(request)
        filledSlots += Int(knownTokens(request))
        if requests[Int(request)].generated == 0 {
          let intended = arrival(Int(request))
          metrics.admission.record(received > intended ? received - intended : 0)
          if prompts != nil {
            metrics.lookedUpTokens += UInt64(plan.requests[Int(request)].inputTokens)
            metrics.foundTokens += UInt64(admission.foundTokens)
          }
        }
        grown(request)
        if requests[Int(request)].end != .none { running.removeLast() }
      } else if admission.refused.isNever {
        end(request, .neverFit)
      } else if admission.refused.isLater || admission.refused.isNotAttempted {
        if admission.refused.isLater { metrics.admissionRefusals += 1 }
        leftInLine.append(request)
      } else {
        metrics.error("an admission was refused: \(Self.text(admission.refused))")
        end(request, .failed)
      }
    }
    for request in leftInLine.reversed() { waiting.prepend(request) }
    if block != result.admissionBlocks.count || found != result.foundBlocks.count {
      let left = result.admissionBlocks.count - block + result.foundBlocks.count - found
      broken("admissions handed out \(left) blocks to nobody")
    }
  }

  // MARK: - Single requests

  /// The step computed all of the request's tokens: one more is sampled, or it is finished.
  mutating func grown(_ request: Int32) {
    let held = requests[Int(request)].holding.count
    let needed = blocks(forTokens: knownTokens(request))
    if held != needed {
      broken(
        "sequence \(sequence(request)) holds \(held) blocks for \(knownTokens(request)) tokens; "
          + "expected \(needed)")
    }
    requests[Int(request)].generated += 1
    metrics.generatedTokens += 1
    if requests[Int(request)].generated == plan.requests[Int(request)].outputTokens {
      end(request, .finished)
    }
  }

  mutating func preempted(_ request: Int32) {
    requests[Int(request)].preemptions += 1
    let times = requests[Int(request)].preemptions
    metrics.preemptions += 1
    if times == 1 { metrics.preemptedRequests += 1 }
    metrics.maximumPreemptionsOfOneRequest = max(metrics.maximumPreemptionsOfOneRequest, times)
  }

  mutating func end(_ request: Int32, _ end: End) {
    requests[Int(request)].end = end
    ending.append(request)
  }

  /// Slots of the request that hold a token: all it knew when it was last computed.
  func slots(of request: Int32) -> Int {
    requests[Int(request)].holding.count == 0 ? 0 : Int(knownTokens(request)) - 1
  }

  mutating func take(
    _ count: Int, of blocks: [UInt32], from next: inout Int, for request: Int32,
    isFound: Bool = false
  ) {
    guard next + count <= blocks.count else {
      return broken("sequence \(sequence(request)) got blocks that are not listed")
    }
    for block in blocks[next..<(next + count)] {
      do throws(BlockLedger.Fault) {
        if isFound {
          try ledger.share(block, into: &requests[Int(request)].holding)
        } else {
          try ledger.take(block, into: &requests[Int(request)].holding)
        }
      } catch {
        switch error {
        case .heldAlready(let block): broken("block \(block) was handed out twice")
        case .outOfRange(let block): broken("block \(block) is none of the pool's")
        }
      }
    }
    next += count
  }
}
