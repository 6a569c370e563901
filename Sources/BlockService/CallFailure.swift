internal import BlockMessages
internal import GRPCWire

/// Why a call is not served, as the status that says so. Made only when a call fails.
struct CallFailure: Error {
  let status: Status

  init(_ status: Status) { self.status = status }

  init(_ failure: DecodeFailure) {
    switch failure {
    case .malformed(let name):
      // grpc.io, "Status codes and their use in gRPC": bytes that cannot be parsed are INTERNAL.
      status = Status(.internal, "the request is no \(name)")
    case .tooLarge(let budget):
      status = Status(
        .resourceExhausted, "the request takes more than \(budget) bytes once decoded")
    case .invalid(let field, let problem):
      self = .invalid(field, problem)
    case .unserved(let field):
      status = Status(.unimplemented, "\(field) is set and not served yet")
    }
  }

  /// A field of the request is out of its limits.
  static func invalid(_ field: String, _ problem: String) -> CallFailure {
    CallFailure(
      RefusalStatus.make(
        .invalidArgument, "\(field) \(problem)",
        RefusalFields(reason: RefusalStatus.invalidReason, field: field, detail: problem)))
  }
}
