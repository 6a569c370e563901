import GRPCClient
import GRPCWire
import HTTP2
import TLSEngine
import Testing
import UVLoop

/// A server of TLS and HTTP/2 that notes the fields of requests and answers none.
private final class FieldReader: ByteStreamHandler {
  private let stream: ByteStream
  private let tls: TLSSession
  private let session = HTTP2Session(.server, context: HTTP2Context())
  private let note: ([String: String]) -> Void

  init(_ stream: ByteStream, _ context: TLSContext, note: @escaping ([String: String]) -> Void) {
    self.stream = stream
    self.note = note
    tls = TLSSession(context)
    stream.handler = self
    stream.startReading()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    _ = tls.receive(bytes) {
      session.receive($0) { event in if event.kind == .headers { note(event.fields) } } == nil
    }
    if tls.isEstablished {
      let output = session.context.output
      _ = session.drain { _ in }
      #expect(tls.seal(output.bytes) == nil)
      output.removeAll()
    }
    _ = stream.write(tls.context.buffers.bytes(from: 0))
    tls.context.buffers.truncate(to: 0)
  }

  func streamDidEnd(_ error: UVError?) { stream.close() }
  func streamDidDrain() {}

  private func note(_ fields: HTTP2Fields) {
    var result: [String: String] = [:]
    for (name, value) in fields {
      result[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
    }
    note(result)
  }
}

@Suite("Requests over TLS")
struct SecureHeadersTests {
  @Test(
    "say https, and the authority is the name that the certificate must bear",
    arguments: [nil, "quire.test"] as [String?])
  func fields(serverName: String?) throws {
    let loop = try EventLoop()
    let context = try TLSContext(server: SecurePair.serverFiles("server"))
    var seen: [[String: String]] = []
    var readers: [FieldReader] = []
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) {
      readers.append(FieldReader($0, context) { seen.append($0) })
    }
    var files = SecurePair.clientFiles(trusting: "ca")
    files.serverName = serverName
    let channel = try GRPCChannel(
      loop: loop, target: listener.address, tls: try TLSContext(client: files))
    var statuses: [Status] = []
    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
    channel.unary(path: "/a.B/C", message: nothing, timeoutNanoseconds: 20_000_000_000) {
      status, _ in statuses.append(status)
    }
    while seen.isEmpty, statuses.isEmpty, loop.runOneTurn() {}
    #expect(seen.first?[":scheme"] == "https")
    #expect(seen.first?[":authority"] == serverName ?? listener.address)
    #expect(seen.first?[":path"] == "/a.B/C")
    channel.close()
    listener.close()
    loop.run()
    #expect(statuses.map(\.code) == [.cancelled])
  }
}
