internal import CQuireProtos

// analyzer.proto: a report, made by the server.

package struct GetReportRequest: WireMessage {
  package static var kind: MessageKind { .getReportRequest }
  private let m: UnsafePointer<Quire__V1__GetReportRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__GetReportRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// A value of `ReportFormat`.
  package var format: UInt32 { UInt32(m.pointee.format.rawValue) }
  /// Milliseconds since the epoch; 0 = all that is kept.
  package var sinceMilliseconds: UInt64 { m.pointee.since_ms }
}

package struct ReportMessage: WireMessage {
  package static var kind: MessageKind { .report }
  private let m: UnsafePointer<Quire__V1__Report>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__Report.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var contentType: String {
    String(decoding: BlockMessages.text(m.pointee.content_type), as: UTF8.self)
  }
  package var content: String {
    String(decoding: BlockMessages.text(m.pointee.content), as: UTF8.self)
  }
}

extension MessagePacker {
  package mutating func getReportRequest(
    call: CallFields, format: UInt32 = 0, sinceMilliseconds: UInt64 = 0
  ) {
    uint64(3, sinceMilliseconds)
    uint32(2, format)
    self.call(call)
  }

  package mutating func report(revision: UInt64, contentType: String, content: String) {
    text(3, content)
    text(2, contentType)
    uint64(1, revision)
  }
}
