/// A block of a pool: 1 ... `blocks`. 0 is the null block, which no one holds.
package typealias BlockID = UInt32
/// The client's name for a sequence, unique within its session.
package typealias SequenceID = UInt64
/// Who holds: 0 is the default session, which never expires.
package typealias SessionID = UInt64
/// Counts the commands that changed a pool's state.
package typealias Revision = UInt64

/// One thing to do to a pool, as a value: the unit that is applied, refused, journalled and replayed.
///
/// A unary call is a command of one operation; a scheduler step is a command of many. The buffers
/// inside the operations are borrowed for the time of `KVPool.apply` and never kept.
package struct Command {
  package var session: SessionID
  /// Refuse the whole command unless the pool is at this revision; 0 = whatever it is at.
  package var ifRevision: Revision
  /// The caller's clock, milliseconds; `KVPool.readClock` says when it counts.
  package var now: UInt64
  /// Answer as if, change nothing.
  package var isDryRun: Bool
  /// Marks a scheduler step: in a `CopyAck.nextStep` pool every copy the session was ordered to make
  /// in earlier commands is done by now.
  package var isStep: Bool
  /// A step's copies up to this id are done; 0 = none named.
  package var acknowledgedCopyID: UInt64
  /// Tokens that decode, extend and admit may schedule in all, in order; 0 = no budget.
  package var tokenBudget: UInt32
  /// After a preemption in this command, admissions are refused with `.notAttempted`.
  package var refusesAdmissionAfterPreemption: Bool
  /// What a refusal does where an operation does not say.
  package var onRefusal: OnRefusal
  /// Whom `OnRefusal.preempt` preempts, where a decode has no list of its own.
  package var victimPolicy: VictimPolicy
  package var operations: UnsafeBufferPointer<Operation>

  package init(
    session: SessionID, operations: UnsafeBufferPointer<Operation>, ifRevision: Revision = 0,
    now: UInt64 = 0, isDryRun: Bool = false, isStep: Bool = false, acknowledgedCopyID: UInt64 = 0,
    tokenBudget: UInt32 = 0, refusesAdmissionAfterPreemption: Bool = false,
    onRefusal: OnRefusal = .continue, victimPolicy: VictimPolicy = .fcfs
  ) {
    self.victimPolicy = victimPolicy
    self.session = session
    self.operations = operations
    self.ifRevision = ifRevision
    self.now = now
    self.isDryRun = isDryRun
    self.isStep = isStep
    self.acknowledgedCopyID = acknowledgedCopyID
    self.tokenBudget = tokenBudget
    self.refusesAdmissionAfterPreemption = refusesAdmissionAfterPreemption
    self.onRefusal = onRefusal
  }
}

/// What happens to the rest of a command when one of its operations is refused.
package enum OnRefusal: UInt8, BitwiseCopyable {
  /// In an operation only: as the command says.
  case inherit
  /// Every operation stands alone.
  case `continue`
  /// What follows is `.notAttempted` (head-of-line admission).
  case stop
  /// Preempt a running sequence by the victim order and retry the same operation, as vLLM does.
  case preempt
  /// All or nothing: the command is undone and refused as a whole.
  case abort
}
