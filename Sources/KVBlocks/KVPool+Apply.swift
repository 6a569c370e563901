/// A command from its beginning to its end: as a whole, with undo where it may come to nothing. Messages, clients and
/// clocks are never known here: a command is a value, and brings its time.
extension KVPool {
  /// Applies `command` and writes what it did into `outcome`, which is reset first.
  ///
  /// The revision moves by one if, and only if, the command changed the pool's state. A dry run
  /// answers as if, with the current revision, and changes nothing. O(size of the command and of the
  /// outcome), beside the rows of `Design.md`.
  package func apply(_ command: Command, into outcome: Outcome) {
    outcome.reset()
    if isFollowed { beginFollowed(command.session) }
    if let refusal = refusalOfWhole(command) {
      refuse(command, refusal, outcome)
      return
    }
    run = Run()
    useClass(0)
    blocks.forgetSearches()
    abandoned.removeAll()
    run.session = command.session
    run.slot = sessions.find(command.session)
    run.now = command.now
    run.countsOnly = command.isDryRun && command.operations.count == 1
    run.isBudgeted = command.tokenBudget > 0
    run.budget = command.tokenBudget
    run.refusesAdmissionAfterPreemption = command.refusesAdmissionAfterPreemption
    run.victimPolicy = command.victimPolicy
    run.notesScheduled = run.isBudgeted && command.victimPolicy != .fcfs
    if !scheduledNow.isEmpty { scheduledNow.removeAll(keepingCapacity: true) }

    if command.isDryRun || mayAbort(command) {
      guard applyRecorded(command, outcome) else { return }
    } else {
      startClock()
      acknowledgeAtStart(of: command)
      // Nothing aborts it.
      _ = performAll(command, outcome)
      finish(outcome)
    }
    countRefusals(outcome)
    outcome.revision = revision
    if run.changed {
      revision += 1
      outcome.revision = revision
      if run.readsClock {
        clock = readClock()
        history.add(clock)
      }
      history.add(command)
      history.add(outcome)
    }
  }

  /// Applies one operation as a command of its own, which is what a unary call is.
  ///
  /// - Returns: The result, where it lies in `outcome`; nil when the operation or the whole command was
  ///   refused, and `outcome` says why.
  package func apply(
    one kind: Operation.Kind, problem: Refusal = .none, session: SessionID = 0,
    ifRevision: Revision = 0, now: UInt64 = 0, isDryRun: Bool = false, into outcome: Outcome
  ) -> UnsafePointer<OperationResult>? {
    single.initialize(to: Operation(kind, problem: problem))
    return applySingle(session, ifRevision, now, isDryRun, outcome)
  }

  /// The same of `.allocate(count:)`.
  package func apply(
    allocating count: UInt32, session: SessionID = 0, ifRevision: Revision = 0, now: UInt64 = 0,
    isDryRun: Bool = false, into outcome: Outcome
  ) -> UnsafePointer<OperationResult>? {
    single.pointee.become(allocating: count)
    return applySingle(session, ifRevision, now, isDryRun, outcome)
  }

  @inline(__always)
  private func applySingle(
    _ session: SessionID, _ ifRevision: Revision, _ now: UInt64, _ isDryRun: Bool,
    _ outcome: Outcome
  ) -> UnsafePointer<OperationResult>? {
    apply(
      Command(
        session: session, operations: UnsafeBufferPointer(start: single, count: 1),
        ifRevision: ifRevision, now: now, isDryRun: isDryRun), into: outcome)
    let result = UnsafePointer(outcome.results.base)
    return outcome.refusal.reason == .none && result.pointee.refusal.reason == .none ? result : nil
  }

  /// A command that may have to be undone. False when it was, and the outcome says why or what would
  /// have been.
  private func applyRecorded(_ command: Command, _ outcome: Outcome) -> Bool {
    let mark = beginRecording()
    startClock()
    acknowledgeAtStart(of: command)
    if let aborted = performAll(command, outcome) {
      rollBack(to: mark)
      outcome.reset()
      outcome.abortingOperation = aborted.index
      refuse(command, aborted.refusal, outcome)
      return false
    }
    finish(outcome)
    if command.isDryRun {
      rollBack(to: mark)
      outcome.revision = revision
      return false
    }
    commit()
    return true
  }

  /// What the outcome says of the command as a whole, before anything is taken back.
  private func finish(_ outcome: Outcome) {
    for copy in abandoned.elements { outcome.abandoned.append(copy) }
    outcome.availableBlocks = blocks.available
  }

  // MARK: The command as a whole

  private func refusalOfWhole(_ command: Command) -> Refusal? {
    if command.ifRevision != 0 && command.ifRevision != revision {
      return Refusal(.revisionMoved, field: .ifRevision, subject: revision)
    }
    if command.acknowledgedCopyID > 0 {
      let last = lastCopyID(of: command.session)
      if command.acknowledgedCopyID > last {
        return Refusal(.invalid, field: .acknowledgedCopyID, limit: last)
      }
    }
    return nil
  }

  private func refuse(_ command: Command, _ refusal: Refusal, _ outcome: Outcome) {
    outcome.refusal = refusal
    outcome.revision = revision
    outcome.availableBlocks = blocks.available
    if !command.isDryRun { refusalCounts[Int(refusal.reason.rawValue)] += 1 }
  }

  private func mayAbort(_ command: Command) -> Bool {
    if command.onRefusal == .abort { return true }
    for i in 0..<command.operations.count where command.operations[i].onRefusal == .abort {
      return true
    }
    return false
  }

  private func acknowledgeAtStart(of command: Command) {
    guard run.slot != SequenceSlot.none else { return }
    if command.isStep && configuration.copyAck == .nextStep {
      acknowledge(upTo: .max)
    } else if command.acknowledgedCopyID > 0 {
      acknowledge(upTo: command.acknowledgedCopyID)
    }
  }

  private func countRefusals(_ outcome: Outcome) {
    for i in 0..<outcome.results.count {
      let result = outcome.results.base + i
      if result.pointee.refusal.reason != .none {
        refusalCounts[Int(result.pointee.refusal.reason.rawValue)] += 1
      }
      if result.pointee.firstRefusal.reason != .none {
        refusalCounts[Int(result.pointee.firstRefusal.reason.rawValue)] += 1
      }
    }
  }
}
