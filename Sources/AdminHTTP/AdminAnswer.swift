/// What a handler answers.
package enum AdminAnswer {
  case response(AdminResponse)
  /// Server-sent events, from now until the client or the server ends them. The closure gets the
  /// stream, which the caller keeps for as long as it has something to say.
  case events((ServerSentStream) -> Void)
}

/// A whole response.
package struct AdminResponse: Equatable {
  package var status: UInt32
  package var contentType: String
  package var body: [UInt8]

  package init(status: UInt32 = 200, _ contentType: String, _ body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.body = body
  }

  /// A line for people.
  package static func text(_ status: UInt32, _ line: String) -> AdminResponse {
    AdminResponse(status: status, "text/plain; charset=utf-8", Array("\(line)\n".utf8))
  }
}
