import HTTP2
import UVLoop

/// The ends of a connection that its client brings about.
extension ServerConnection {
  /// Ends the connection for what the client does. What can be said, a GOAWAY, is said first.
  func cutOff(_ reason: CutOff, _ code: HTTP2ErrorCode, _ words: String) {
    if isClosed || closeAfterFlush { return }
    server.count(reason, on: self)
    session.submitGoAway(code, debug: words)
    closeAfterFlush = true
    // The others are no floods: who comes back with those has gained nothing.
    lingers = reason != .slowHeaders && reason != .handshake
    scheduleFlush()
  }

  /// Ends it at once: nobody is there to be told.
  func end(_ reason: CutOff) {
    if isClosed { return }
    server.count(reason, on: self)
    close()
  }

  /// nghttp2 gave the connection up.
  func fail(_ failure: HTTP2Failure, after bytes: UnsafeRawBufferPointer) {
    if isClosed { return }
    if failure.isBadPreface {
      server.count(.notHTTP2, on: self)
      if ServerConnection.isHTTP1(bytes) { answerHTTP1() }
      return close()
    }
    server.count(failure.untold == .enhanceYourCalm ? .flood : .brokenHTTP2, on: self)
    if let code = failure.untold { session.submitGoAway(code, debug: failure.reason) }
    lingers = failure.untold == .enhanceYourCalm
    closeAfterFlush = true
    flush()
    close()
  }

  /// After a read: whether the client has gone too far.
  func judgeConduct() {
    if isClosed { return }
    if let reason = conduct.judge(&session.conduct, at: server.loop.now, server.options) {
      cutOff(reason, .enhanceYourCalm, reason.words)
    }
  }

  /// Neither side has anything left to say: what nghttp2 ended by itself is counted.
  func countItsEnd() {
    switch session.conduct.goAwaySent {
    case nil, HTTP2ErrorCode.noError?: break
    case HTTP2ErrorCode.enhanceYourCalm?:
      server.count(.flood, on: self)
      lingers = true
    // Only its limit of resets ends a session with this code.
    case HTTP2ErrorCode.internalError?:
      server.count(.resets, on: self)
      lingers = true
    default: server.count(.brokenHTTP2, on: self)
    }
  }

  /// A request line of HTTP/1, as far as it has come in the first read.
  private static func isHTTP1(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let space = bytes.firstIndex(of: UInt8(ascii: " ")), (3...7).contains(space),
      bytes[..<space].allSatisfy({ (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains($0) })
    else { return false }
    let version = Array("HTTP/1.".utf8)
    let line = bytes.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
    return line.suffix(version.count + 1).starts(with: version)
  }

  private func answerHTTP1() {
    let body = "This port speaks gRPC, over HTTP/2 without an upgrade from HTTP/1.\n"
    var answer =
      "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n"
      + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    answer.withUTF8 { _ = stream.write(UnsafeRawBufferPointer($0)) }
  }
}
