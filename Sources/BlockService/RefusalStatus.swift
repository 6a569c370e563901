internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// How a refusal of the domain is told to the peer: its status, its words, its details.
enum RefusalStatus {
  static let invalidReason = UInt32(Refusal.Reason.invalid.rawValue)

  /// The status of a unary call that was refused. The one table; `Refusals.md` prints it.
  static func code(of reason: Refusal.Reason) -> StatusCode {
    switch reason {
    case .none: .ok
    case .later, .noRun: .resourceExhausted
    case .never, .wrongState, .notHeld, .staleGeneration, .quota, .operationIDTooOld:
      .failedPrecondition
    case .fenced, .revisionMoved, .notAttempted: .aborted
    case .unknownSequence, .unknownCopy: .notFound
    case .sequenceExists: .alreadyExists
    case .invalid, .operationIDReused: .invalidArgument
    }
  }

  /// The reason as the trailer `quire-reason` and the contract's enum (after its prefix) spell it.
  static func name(of reason: Refusal.Reason) -> String {
    switch reason {
    case .none: "UNSPECIFIED"
    case .later: "LATER"
    case .never: "NEVER"
    case .noRun: "NO_RUN"
    case .quota: "QUOTA"
    case .fenced: "FENCED"
    case .notHeld: "NOT_HELD"
    case .staleGeneration: "STALE_GENERATION"
    case .unknownSequence: "UNKNOWN_SEQUENCE"
    case .sequenceExists: "SEQUENCE_EXISTS"
    case .wrongState: "WRONG_STATE"
    case .unknownCopy: "UNKNOWN_COPY"
    case .operationIDReused: "OP_ID_REUSED"
    case .operationIDTooOld: "OP_ID_TOO_OLD"
    case .revisionMoved: "REVISION_MOVED"
    case .invalid: "INVALID"
    case .notAttempted: "NOT_ATTEMPTED"
    }
  }

  /// The status of a refused call: message for people, `Refusal` for programs that read details,
  /// ASCII trailers for those that do not.
  static func make(_ code: StatusCode, _ message: String, _ refusal: RefusalFields) -> Status {
    var packer = MessagePacker(capacity: 512)
    packer.refusal(refusal)
    let reason = Refusal.Reason(rawValue: UInt8(truncatingIfNeeded: refusal.reason)) ?? .none
    var trailers = [Status.Trailer("quire-reason", name(of: reason))]
    // Of these both numbers are told even where nothing is available.
    let isShort = reason == .later || reason == .never || reason == .noRun
    let numbers = [
      ("quire-needed", refusal.needed, isShort), ("quire-available", refusal.available, isShort),
      ("quire-evictable", refusal.evictableWithinAvailable, false),
      ("quire-reserved", refusal.reserved, false), ("quire-watermark", refusal.watermark, false),
      ("quire-largest-run", refusal.largestRun, false),
      ("quire-size-class", refusal.sizeClass, false),
    ]
    for (name, value, isAlways) in numbers where isAlways || value > 0 {
      trailers.append(Status.Trailer(name, "\(value)"))
    }
    return Status(
      code, message, detailType: "quire.v1.Refusal", detail: Array(packer.bytes),
      trailers: trailers)
  }

  /// The status of a call whose one operation, or whole command, was refused; with `index`, by that
  /// operation of a step. `named`: what the request calls the operation, where it is not its own name.
  static func make(
    _ refusal: Refusal, of operation: Operation?, at index: Int? = nil, named: String? = nil,
    in pool: KVPool
  ) -> Status {
    let fields = RefusalText.fields(
      of: refusal, operation: operation, index: index, named: named, pool: pool)
    // Rules are worded to follow the field they are about; the other details are sentences.
    var message = fields.detail
    if !fields.field.isEmpty {
      if refusal.reason == .invalid || refusal.reason == .revisionMoved {
        message = "\(fields.field) \(fields.detail)"
      } else if index != nil {
        message = "\(fields.field): \(fields.detail)"
      }
    }
    return make(code(of: refusal.reason), message, fields)
  }
}
