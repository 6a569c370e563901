internal import GRPCWire

/// The RPCs of the contract that answer UNIMPLEMENTED for now. They are registered so that a client
/// can tell "not yet" from "never heard of it".
package enum UnservedMethods {
  package static var all: [String] { unary + bidirectional }
  static let unary = [
    "Sessions/Open", "Sessions/Close", "Sessions/Reclaim",
  ]
  static let bidirectional = ["Sessions/KeepAlive"]

  static func register(in table: ServiceTable) {
    for method in unary {
      let status = status(method)
      table.unary("/quire.v1.\(method)") { _, _, _ in status }
    }
    for method in bidirectional { stream(method, isClientStreaming: true, table) }
  }

  private static func stream(_ method: String, isClientStreaming: Bool, _ table: ServiceTable) {
    let status = status(method)
    table.streaming("/quire.v1.\(method)", isClientStreaming: isClientStreaming) { responses, _ in
      responses.finish(status)
      return RefusedStream()
    }
  }

  private static func status(_ method: String) -> Status {
    Status(.unimplemented, "quire.v1.\(method) is not served yet")
  }
}

/// The receiving end of a call that was over when it began.
private final class RefusedStream: RequestStream {
  func received(_ message: UnsafeRawBufferPointer) {}
  func halfClosed() {}
  func cancelled(_ status: Status) {}
  func drained() {}
}
