import GRPCWire
import HTTP2

// What handlers see of a call.

extension ServerCall: ReplyWriter {
  func message(byteCount: Int) -> UnsafeMutableRawPointer {
    guard let stream else {
      preconditionFailure("a reply written after its handler returned")
    }
    if replyBytes > 0 { stream.unreserve(replyBytes) }
    replyBytes = 5 + byteCount
    guard let place = stream.reserve(replyBytes) else {
      preconditionFailure("a reply to a stream that has ended")
    }
    MessageFramer.writePrefix(byteCount, to: place)
    return place + 5
  }
}

extension ServerCall: CallContext {
  var path: String { route?.takeUnretainedValue().path ?? "" }
  var deadlineNanoseconds: UInt64? { expiresAt == .max ? nil : expiresAt }
  var peer: String { connection?.peer ?? "" }
  var identity: PeerIdentity { connection?.identity ?? PeerIdentity() }

  func metadata(_ name: String) -> [[UInt8]] {
    fields.map { MetadataName.values(of: name, in: $0) } ?? []
  }
}
