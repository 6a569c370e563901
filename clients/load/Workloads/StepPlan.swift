/// What one scheduler step asks of a pool. The order on the wire is the order of the fields: what has
/// finished is freed, what runs is extended, what arrived is added, what waits is admitted.
///
/// vLLM frees finished requests before it schedules the next step, extends the running ones before it
/// admits any, and admits none in a step that preempted.
package struct StepPlan {
  package struct Addition: Equatable, BitwiseCopyable {
    package var sequence: UInt64
    package var tokens: UInt32
    /// Its part of `hashes`, bytes; 0: it is like no other.
    package var hashBytes: Int

    package init(sequence: UInt64, tokens: UInt32, hashBytes: Int = 0) {
      self.sequence = sequence
      self.tokens = tokens
      self.hashBytes = hashBytes
    }
  }

  /// Sequences that are done with.
  package var freed: [UInt64] = []
  /// Running sequences in the order of their admission: one token more for each. A refusal preempts
  /// from this list's end.
  package var decoded: [UInt64] = []
  /// New sequences, by arrival.
  package var added: [Addition] = []
  /// Hashes of their prompts' full blocks, one sequence after the other.
  package var hashes: [UInt8] = []
  /// Waiting sequences, head of the line first; the first refusal ends the attempt.
  package var admitted: [UInt64] = []

  package init() {}

  /// What the additions take in a message, bytes at most.
  var additionBytes: Int { hashes.count + added.count * 24 }

  package var isEmpty: Bool {
    freed.isEmpty && decoded.isEmpty && added.isEmpty && admitted.isEmpty
  }

  mutating func removeAll() {
    freed.removeAll(keepingCapacity: true)
    decoded.removeAll(keepingCapacity: true)
    added.removeAll(keepingCapacity: true)
    hashes.removeAll(keepingCapacity: true)
    admitted.removeAll(keepingCapacity: true)
  }
}

/// What the pool answered, in the plan's order. Reused from step to step.
package struct StepResult {
  package struct Admission: Equatable {
    package var refused: Refused
    /// How many of `admissionBlocks` are this one's.
    package var newBlocks: Int
    /// How many of `foundBlocks` are.
    package var foundBlocks: Int
    /// Tokens in those, and in what a window has left behind.
    package var foundTokens: UInt32

    package init(
      refused: Refused = .no, newBlocks: Int = 0, foundBlocks: Int = 0, foundTokens: UInt32 = 0
    ) {
      self.refused = refused
      self.newBlocks = newBlocks
      self.foundBlocks = foundBlocks
      self.foundTokens = foundTokens
    }
  }

  /// The step as a whole; then nothing in it was done.
  package var refused = Refused.no
  package var availableBlocks: UInt32 = 0
  package var freeRefused = Refused.no
  /// The decode as a whole.
  package var decodeRefused = Refused.no
  /// New blocks of each decoded sequence; empty when none needed one.
  package var decodeBlockCounts: [UInt32] = []
  package var decodeBlocks: [UInt32] = []
  /// Indexes of decoded sequences that got no slot and were not preempted either.
  package var decodeRefusedIndexes: [UInt32] = []
  /// Why the first of them did not.
  package var decodeFirstRefused = Refused.no
  package var preempted: [UInt64] = []
  package var additions: [Refused] = []
  package var admissions: [Admission] = []
  package var admissionBlocks: [UInt32] = []
  /// Of the pool's cache.
  package var foundBlocks: [UInt32] = []

  package init() {}

  package mutating func removeAll() {
    refused = .no
    availableBlocks = 0
    freeRefused = .no
    decodeRefused = .no
    decodeBlockCounts.removeAll(keepingCapacity: true)
    decodeBlocks.removeAll(keepingCapacity: true)
    decodeRefusedIndexes.removeAll(keepingCapacity: true)
    decodeFirstRefused = .no
    preempted.removeAll(keepingCapacity: true)
    additions.removeAll(keepingCapacity: true)
    admissions.removeAll(keepingCapacity: true)
    admissionBlocks.removeAll(keepingCapacity: true)
    foundBlocks.removeAll(keepingCapacity: true)
  }
}

/// Whether, and why, an operation was refused.
package struct Refused: Equatable, Sendable {
  /// The wire's `RefusalReason`; 0 = accepted.
  package var reason: UInt32
  /// For people; left empty where the reason says it all.
  package var detail: String

  package init(reason: UInt32, detail: String = "") {
    self.reason = reason
    self.detail = detail
  }

  package static let no = Refused(reason: 0)
  /// The pool is full for now.
  package static let later = Refused(reason: 1)
  /// Cannot fit this pool even when it is empty.
  package static let never = Refused(reason: 2)
  /// An earlier operation was refused, or the step preempted.
  package static let notAttempted = Refused(reason: 16)

  package var isLater: Bool { reason == 1 }
  package var isNever: Bool { reason == 2 }
  package var isNotAttempted: Bool { reason == 16 }

  /// Whether a run expects the reason, so that nobody will ask for its text.
  package static func saysItAll(_ reason: UInt32) -> Bool {
    reason == later.reason || reason == never.reason || reason == notAttempted.reason
  }
}
