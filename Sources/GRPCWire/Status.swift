/// The outcome of a call, as gRPC reports it in trailers.
package struct Status: Equatable, Sendable {
  package var code: StatusCode
  /// The server has said that it never began the call, so that repeating it is safe whatever it does.
  /// Only ever true on a client.
  package var wasNeverStarted = false
  /// UTF-8 text, not yet percent-encoded. Empty when there is nothing to say.
  package var message: String
  /// A serialised `google.rpc.Status` for `grpc-status-details-bin`; empty = no details.
  package var details: [UInt8]
  /// Further ASCII trailers, in order (names lower-case, without `grpc-`).
  package var trailers: [Trailer]

  package init(
    _ code: StatusCode, _ message: String = "", details: [UInt8] = [], trailers: [Trailer] = []
  ) {
    self.code = code
    self.message = message
    self.details = details
    self.trailers = trailers
  }

  package static let ok = Status(.ok)
}

/// The 17 codes of gRPC (`statuscodes.md`).
package enum StatusCode: UInt8, Sendable {
  case ok = 0
  case cancelled = 1
  case unknown = 2
  case invalidArgument = 3
  case deadlineExceeded = 4
  case notFound = 5
  case alreadyExists = 6
  case permissionDenied = 7
  case resourceExhausted = 8
  case failedPrecondition = 9
  case aborted = 10
  case outOfRange = 11
  case unimplemented = 12
  case `internal` = 13
  case unavailable = 14
  case dataLoss = 15
  case unauthenticated = 16
}
