// What clients send. Requests are values; `MessagePacker` packs them (`RequestPacking.swift`). Every
// request of one operation has the same shape, `{ call = 1, <operation> = 2 }`, and a step holds the
// same operations in a list.

/// The values of a `Call`. Those this server does not serve yet are here for the ones that do.
package struct CallFields: Equatable, Sendable {
  /// Empty = "default".
  package var pool: String
  package var session: UInt64
  package var opID: UInt64
  package var ifRevision: UInt64
  package var isDryRun: Bool

  package init(
    pool: String = "", session: UInt64 = 0, opID: UInt64 = 0, ifRevision: UInt64 = 0,
    isDryRun: Bool = false
  ) {
    self.pool = pool
    self.session = session
    self.opID = opID
    self.ifRevision = ifRevision
    self.isDryRun = isDryRun
  }
}

/// The values of an `Op`.
package enum OperationFields: Equatable, Sendable {
  case allocate(count: UInt32)
  case freeBlocks([UInt32], generations: [UInt32] = [])
  case forkBlocks([UInt32], generations: [UInt32] = [])
  case copyOnWrite(block: UInt32, filledTokens: UInt32 = 0)
  case ackCopies([UInt64], upTo: UInt64 = 0)
  case acquire(blockHashes: [UInt8], allocateCount: UInt32 = 0)
  case cacheBlocks([UInt32], blockHashes: [UInt8], parentHash: [UInt8] = [])
  case evictBlocks([UInt32])
  case add(AddFields)
  case admit(AdmitFields)
  case extend(ExtendFields)
  case append(sequence: UInt64, tokens: UInt32, content: ContentFields = ContentFields())
  case commit(sequence: UInt64, tokens: UInt32 = 0)
  case fork(parent: UInt64, children: [UInt64])
  case rewind(
    sequence: UInt64, uncomputeTokens: UInt32 = 0, dropTokens: UInt32 = 0,
    releasesBlocks: Bool = false)
  case preempt([UInt64])
  case freeSequences([UInt64], ignoresMissing: Bool = false)
  case reserve(sequence: UInt64, blocks: UInt32 = 0, releases: Bool = false)
  case decode(DecodeFields)

  /// Where an `Op` holds it; an `OpResult` holds its reply under the same number.
  package var field: OperationReplyField {
    switch self {
    case .allocate: .allocate
    case .freeBlocks: .freeBlocks
    case .forkBlocks: .forkBlocks
    case .copyOnWrite: .copyOnWrite
    case .ackCopies: .ackCopies
    case .acquire: .acquire
    case .cacheBlocks: .cacheBlocks
    case .evictBlocks: .evictBlocks
    case .add: .add
    case .admit: .admit
    case .extend: .extend
    case .append: .append
    case .commit: .commit
    case .fork: .fork
    case .rewind: .rewind
    case .preempt: .preempt
    case .freeSequences: .freeSequences
    case .reserve: .reserve
    case .decode: .decode
    }
  }
}

package struct AddFields: Equatable, Sendable {
  package var sequenceID: UInt64
  package var tokenCount: UInt32
  /// Beside `tokenCount`, which is its own unless it is 0.
  package var content = ContentFields()
  package var hashing = HashOptionsFields()
  package var priority: Int32
  package var expectedTokens: UInt32
  package var label: String

  package init(
    sequenceID: UInt64, tokenCount: UInt32, priority: Int32 = 0, expectedTokens: UInt32 = 0,
    label: String = ""
  ) {
    self.sequenceID = sequenceID
    self.tokenCount = tokenCount
    self.priority = priority
    self.expectedTokens = expectedTokens
    self.label = label
  }
}

package struct AdmitFields: Equatable, Sendable {
  package var sequenceID: UInt64
  package var add: AddFields?
  package var keepsOnRefusal = false
  package var maxTokensNow: UInt32 = 0
  package var lookaheadTokens: UInt32 = 0
  package var allowsPartialFit = false
  package var delaysCommit = false
  package var reservedBlocks: UInt32 = 0
  package var externalComputedTokens: UInt32 = 0

  package init(sequenceID: UInt64, add: AddFields? = nil) {
    self.sequenceID = sequenceID
    self.add = add
  }
}

package struct ExtendFields: Equatable, Sendable {
  package var sequenceID: UInt64
  package var appendTokens: UInt32
  /// Beside `appendTokens`, which is its count unless it is 0.
  package var append = ContentFields()
  package var maxTokensNow: UInt32 = 0
  package var lookaheadTokens: UInt32 = 0
  package var delaysCommit = false
  package var reservedBlocks: UInt32 = 0

  package init(sequenceID: UInt64, appendTokens: UInt32 = 0) {
    self.sequenceID = sequenceID
    self.appendTokens = appendTokens
  }
}

package struct DecodeFields: Equatable, Sendable {
  package var sequenceIDs: [UInt64]
  package var appendCounts: [UInt32] = []
  package var tokenIDs: [UInt32] = []
  package var scheduleCounts: [UInt32] = []
  package var lookaheadTokens: [UInt32] = []
  package var delaysCommit = false
  package var commitsPrevious = false
  package var victimOrder: [UInt64] = []

  package init(sequenceIDs: [UInt64]) { self.sequenceIDs = sequenceIDs }
}

/// The values of a `StepRequest`.
package struct StepFields: Equatable, Sendable {
  package struct Item: Equatable, Sendable {
    package var operation: OperationFields
    package var onRefusal: OnRefusalValue

    package init(_ operation: OperationFields, onRefusal: OnRefusalValue = .unspecified) {
      self.operation = operation
      self.onRefusal = onRefusal
    }
  }

  package var call: CallFields
  package var operations: [Item]
  package var onRefusal: OnRefusalValue = .unspecified
  package var tokenBudget: UInt32 = 0
  package var refusesAdmissionAfterPreemption = false
  package var ackedCopyID: UInt64 = 0
  package var wantsStats = false

  package init(call: CallFields = CallFields(), operations: [Item] = []) {
    self.call = call
    self.operations = operations
  }
}
