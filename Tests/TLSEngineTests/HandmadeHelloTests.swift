import TLSEngine
import TestSupport
import Testing

/// Clients that our own cannot imitate: their first message is put together by hand (RFC 8446, 4.1.2,
/// RFC 5246, 7.4.1.2).
@Suite("Hand-made TLS handshakes")
struct HandmadeHelloTests {
  /// A ClientHello in a record. TLS 1.2 unless `version` says less; ECDHE with P-256 or X25519.
  private static func hello(version: UInt8 = 3, alpn: [String]?) -> [UInt8] {
    func block(_ bytes: [UInt8], width: Int = 2) -> [UInt8] {
      (0..<width).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
    }
    var extensions: [UInt8] = []
    func add(_ number: UInt8, _ body: [UInt8]) { extensions += [0, number] + block(body) }
    add(10, block([0, 29, 0, 23]))  // supported_groups
    add(11, block([0], width: 1))  // ec_point_formats
    // signature_algorithms: ECDSA and RSA-PSS with SHA-256, ECDSA with SHA-1.
    add(13, block([4, 3, 8, 4, 2, 3]))
    if let alpn { add(16, block(alpn.flatMap { block(Array($0.utf8), width: 1) })) }
    // ECDHE-ECDSA with AES-128-GCM, and with AES-128-CBC.
    let body: [UInt8] =
      [3, version] + [UInt8](repeating: 7, count: 32) + [0] + block([0xC0, 0x2B, 0xC0, 0x09])
      + [1, 0] + block(extensions)
    return [22, 3, 1] + block([1] + block(body, width: 3))
  }

  private func answer(to bytes: [UInt8], _ link: MemoryLink) -> [UInt8] {
    link.client.wire = []
    link.server.wire = bytes
    link.deliver(to: link.server)
    return link.client.wire
  }

  @Test("a client of TLS 1.2 that offers h2 is answered")
  func offered() throws {
    let link = try MemoryLink()
    let answer = answer(to: HandmadeHelloTests.hello(alpn: ["http/1.1", "h2"]), link)
    #expect(link.server.progress == .more)
    // A handshake record with ServerHello.
    #expect(answer.first == 22 && answer[5] == 2)
  }

  @Test("a client that offers other protocols gets the alert no_application_protocol")
  func otherProtocols() throws {
    let link = try MemoryLink()
    let answer = answer(to: HandmadeHelloTests.hello(alpn: ["http/1.1", "h2c", "h"]), link)
    // Alert record, TLS 1.2, two bytes: fatal, 120.
    #expect(answer == [21, 3, 3, 0, 2, 2, 120])
    #expect(link.server.failure?.isHandshake == true)
  }

  @Test("TLS 1.1 gets the alert protocol_version")
  func oldVersion() throws {
    let link = try MemoryLink()
    let answer = answer(to: HandmadeHelloTests.hello(version: 2, alpn: ["h2"]), link)
    #expect(answer.first == 21 && answer.suffix(2) == [2, 70])
    #expect(link.server.failure?.reason == "unsupported protocol")
  }

  @Test("TLS 1.2 gets it too where the minimum is 1.3")
  func belowMinimum() throws {
    var files = MemoryLink.serverFiles()
    files.minimumVersion = .tls13
    let link = try MemoryLink(server: files)
    let answer = answer(to: HandmadeHelloTests.hello(alpn: ["h2"]), link)
    #expect(answer.first == 21 && answer.suffix(2) == [2, 70])
  }

  @Test("plain HTTP is told apart from garbage, and both are refused")
  func noTLS() throws {
    let link = try MemoryLink()
    _ = answer(to: Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8), link)
    #expect(link.server.failure != nil)
    let other = try MemoryLink()
    _ = answer(to: Array("GET / HTTP/1.1\r\n\r\n".utf8), other)
    #expect(other.server.failure?.reason == "http request")
    #expect(
      other.server.session.receive(UnsafeRawBufferPointer(start: nil, count: 0)) { _ in true }
        == .ended)
  }

  @Test("garbage fails the handshake, whatever it is", arguments: [1, 7, 42] as [UInt64])
  func garbage(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    for round in 0..<50 {
      let link = try MemoryLink()
      var bytes = (0..<2_000).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Half of it begins like a handshake record.
      if round % 2 == 0 { bytes.replaceSubrange(0..<5, with: [22, 3, 1, 1, 0]) }
      _ = answer(to: bytes, link)
      #expect(link.server.failure?.isHandshake == true)
      #expect(link.server.received.isEmpty)
    }
  }
}
