import TLSEngine
import TestSupport
import Testing

/// Who gets a connection and who does not.
@Suite("TLS handshakes")
struct HandshakeTests {
  @Test("both sides agree on TLS 1.3 and HTTP/2")
  func agree() throws {
    let link = try MemoryLink()
    link.settle()
    #expect(link.areEstablished)
    #expect(link.server.session.protocolDescription.hasPrefix("TLSv1.3 "))
    #expect(link.client.session.peer?.subject == "CN=server")
    #expect(link.server.session.peer == nil)
    #expect(link.server.session.context.buffers.count == 0)
  }

  @Test("every byte may come alone")
  func byteByByte() throws {
    let link = try MemoryLink()
    link.pieceBytes = 1
    link.settle()
    link.send([1, 2, 3], from: link.client)
    link.settle()
    #expect(link.areEstablished && link.server.received == [1, 2, 3])
  }

  @Test("a name and an address are looked for in the certificate")
  func names() throws {
    for host in ["localhost", "quire.test", "127.0.0.1", "::1"] {
      let link = try MemoryLink(host: host)
      link.settle()
      #expect(link.areEstablished, "\(host)")
    }
    for host in ["example.org", "sub.quire.test", "127.0.0.2", "::2"] {
      let link = try MemoryLink(host: host)
      link.settle()
      #expect(!link.areEstablished, "\(host)")
      #expect(link.client.failure?.reason.contains("mismatch") == true, "\(host)")
      #expect(link.server.failure?.isHandshake == true, "\(host)")
    }
  }

  @Test("another name may be expected than the one that is connected to")
  func overriddenName() throws {
    var files = MemoryLink.clientFiles()
    files.serverName = "quire.test"
    let link = try MemoryLink(client: files, host: "10.0.0.7")
    link.settle()
    #expect(link.areEstablished)
  }

  @Test("what cannot be a server's name fails the handshake and nothing else")
  func impossibleNames() throws {
    for host in ["", String(repeating: "a", count: 300), "a\0b"] {
      let link = try MemoryLink(host: host)
      #expect(link.client.failure?.reason.contains("cannot be a server's name") == true)
    }
  }

  @Test("a certificate of an authority that is not trusted is refused")
  func untrusted() throws {
    let link = try MemoryLink(client: MemoryLink.clientFiles(ca: "other-ca"))
    link.settle()
    #expect(!link.areEstablished)
    #expect(link.client.failure?.reason.contains("certificate verify failed") == true)
    // The server learns why by an alert.
    #expect(link.server.failure?.reason.contains("unknown ca") == true)
  }

  @Test("an expired certificate is refused by name")
  func expired() throws {
    let link = try MemoryLink(server: MemoryLink.serverFiles("expired"))
    link.settle()
    #expect(!link.areEstablished)
    #expect(link.client.failure?.reason.contains("certificate has expired") == true)
  }

  @Test("a client certificate proves who the client is")
  func mutual() throws {
    let link = try MemoryLink(
      server: MemoryLink.serverFiles(clientCA: "ca"),
      client: MemoryLink.clientFiles(certificate: "client"))
    link.settle()
    #expect(link.areEstablished)
    let peer = try #require(link.server.session.peer)
    #expect(peer.subject == "CN=scheduler,O=Quire tests")
    #expect(peer.uris == ["spiffe://quire.test/scheduler"])
    #expect(peer.dnsNames == ["scheduler.quire.test"])
  }

  @Test("a client without a certificate is refused where one is required")
  func missingCertificate() throws {
    let link = try MemoryLink(server: MemoryLink.serverFiles(clientCA: "ca"))
    link.settle()
    #expect(!link.server.session.isEstablished)
    #expect(link.server.failure?.reason == "peer did not return a certificate")
    // In TLS 1.3 the client believed itself connected when it had sent its last message.
    #expect(link.client.failure?.reason.contains("certificate required") == true)
  }

  @Test("a client certificate of another authority is refused")
  func foreignCertificate() throws {
    let link = try MemoryLink(
      server: MemoryLink.serverFiles(clientCA: "other-ca"),
      client: MemoryLink.clientFiles(certificate: "client"))
    link.settle()
    #expect(!link.server.session.isEstablished)
    #expect(link.server.failure?.reason.hasPrefix("certificate verify failed: ") == true)
  }

  @Test("a minimum of TLS 1.3 refuses no one who speaks it")
  func minimum() throws {
    var files = MemoryLink.serverFiles()
    files.minimumVersion = .tls13
    let link = try MemoryLink(server: files)
    link.settle()
    #expect(link.areEstablished)
  }

  @Test("files that cannot be used are named, with the reason")
  func badFiles() throws {
    func problem(_ configuration: TLSServerConfiguration) -> TLSError? {
      do throws(TLSError) {
        _ = try TLSContext(server: configuration)
        return nil
      } catch {
        return error
      }
    }
    var files = MemoryLink.serverFiles()
    files.certificatePath = "/nowhere/cert.pem"
    #expect(
      problem(files)?.description
        == "certificate chain '/nowhere/cert.pem': No such file or directory")
    files = MemoryLink.serverFiles()
    files.keyPath = TestCertificates.path("client.key")
    #expect(problem(files)?.path == files.keyPath)
    #expect(problem(files)?.reason == "key values mismatch")
    for name in ["locked.key", "make.sh"] {
      files.keyPath = TestCertificates.path(name)
      #expect(
        problem(files)?.description
          == "private key '\(files.keyPath)': not a PEM key, or one with a passphrase")
    }
    files = MemoryLink.serverFiles(clientCA: "nothing")
    #expect(problem(files)?.purpose == "client CA file")
  }

  @Test("the day a certificate ends is known")
  func expiry() throws {
    // 2120-01-01 and 2020-01-02, both at 00:00 UTC.
    #expect(
      try TLSContext(server: MemoryLink.serverFiles()).certificateExpiresAt == 4_733_510_400)
    #expect(
      try TLSContext(server: MemoryLink.serverFiles("expired")).certificateExpiresAt
        == 1_577_923_200)
  }
}
