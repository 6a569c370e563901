import GRPCClient
import GRPCServer
import GRPCWire
import TLSEngine
import TestSupport
import Testing
import UVLoop

/// The client and the real server on one loop, with TLS between them.
@Suite("Client and server over TLS")
struct SecureTests {
  @Test("long messages and many short ones come back, and the client is known by its certificate")
  func mutual() throws {
    let pair = try SecurePair(clientCA: "ca", certificate: "client")
    let long = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    let answer = pair.unary(long)
    #expect(answer.status == .ok)
    #expect(answer.message == long)
    #expect(
      pair.identity?.certificate
        == PeerIdentity.Certificate(
          subject: "CN=scheduler,O=Quire tests", uris: ["spiffe://quire.test/scheduler"],
          dnsNames: ["scheduler.quire.test"]))
    #expect(pair.identity?.process == nil)

    let recorder = Recorder()
    let call = pair.channel.startStream(path: "/test.Echo/Stream", handler: recorder)
    recorder.onMessage = { message in
      if recorder.messages.count == 500 { call.halfClose() } else { call.send(bytes: message) }
    }
    call.send(bytes: [4, 2])
    pair.run { recorder.status != nil }
    #expect(recorder.status == .ok && recorder.messages.count == 500)
    pair.finish()
  }

  @Test("without a client certificate there is none to be known by")
  func anonymous() throws {
    let pair = try SecurePair()
    #expect(pair.unary([1]).status == .ok)
    #expect(pair.identity == PeerIdentity())
    pair.finish()
  }

  @Test("a call says why its server cannot be trusted")
  func untrusted() throws {
    var pair = try SecurePair(trusting: "other-ca")
    var status = pair.unary([1]).status
    #expect(status.code == .unavailable)
    #expect(status.message.contains("TLS handshake: certificate verify failed: "))
    #expect(pair.server.statistics.callsTotal == 0)
    pair.finish()

    pair = try SecurePair(serverName: "example.org")
    status = pair.unary([1]).status
    #expect(status.code == .unavailable)
    #expect(status.message.hasSuffix("certificate verify failed: hostname mismatch"))
    pair.finish()

    pair = try SecurePair(clientCA: "ca")
    status = pair.unary([1]).status
    #expect(status.code == .unavailable)
    #expect(status.message.contains("certificate required"))
    pair.run { pair.server.statistics.handshakesFailed == 1 }
    pair.finish()
  }

  @Test("another name may be expected than the target's")
  func serverName() throws {
    let pair = try SecurePair(serverName: "quire.test")
    #expect(pair.channel.authority == "quire.test")
    #expect(pair.unary([1]).status == .ok)
    pair.finish()
  }

  @Test("a cleartext client on a TLS port and a TLS client on a cleartext port get UNAVAILABLE")
  func mixedUp() throws {
    let pair = try SecurePair()
    let plain = try GRPCChannel(loop: pair.loop, target: pair.address)
    #expect(pair.unary([1], on: plain).status.code == .unavailable)
    #expect(pair.server.statistics.handshakesFailed == 1)

    let address = try pair.server.listen(on: .tcp(host: "127.0.0.1", port: 0))
    let secure = try GRPCChannel(
      loop: pair.loop, target: address,
      tls: try TLSContext(client: SecurePair.clientFiles(trusting: "ca")))
    #expect(pair.unary([1], on: secure).status.code == .unavailable)
    // Both were the offender's own trouble.
    #expect(pair.unary([1]).status == .ok)
    plain.close()
    secure.close()
    pair.finish()
  }

  @Test("new certificates are for new connections; a call under way goes on")
  func reload() throws {
    let pair = try SecurePair()
    let recorder = Recorder()
    let call = pair.channel.startStream(path: "/test.Echo/Stream", handler: recorder)
    call.send(bytes: [1])
    pair.run { recorder.messages.count == 1 }

    pair.server.tls = try TLSContext(server: SecurePair.serverFiles("expired"))
    let late = try pair.makeChannel()
    #expect(pair.unary([1], on: late).status.message.hasSuffix("certificate has expired"))
    call.send(bytes: [2])
    pair.run { recorder.messages.count == 2 }

    pair.server.tls = try TLSContext(server: SecurePair.serverFiles("renewed"))
    #expect(pair.unary([1], on: late).status == .ok)
    call.halfClose()
    pair.run { recorder.status != nil }
    #expect(recorder.status == .ok)
    late.close()
    pair.finish()
  }

  @Test("garbage ends its own connection only", arguments: [3, 5] as [UInt64])
  func garbage(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let pair = try SecurePair()
    #expect(pair.unary([1]).status == .ok)
    for _ in 0..<20 {
      let probe = try pair.probe()
      let bytes = (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = bytes.withUnsafeBytes { probe.stream.write($0) }
      pair.run { probe.hasEnded }
      #expect(pair.unary([1]).status == .ok)
    }
    #expect(pair.server.statistics.handshakesFailed == 20)
    #expect(pair.server.statistics.connections == 1)
    pair.finish()
  }

  @Test("who does not shake hands in time is cut off")
  func slowHandshake() throws {
    var options = ServerOptions()
    options.tlsHandshakeNanoseconds = 20_000_000
    let pair = try SecurePair(options: options)
    let probe = try pair.probe()
    pair.run { probe.hasEnded }
    #expect(probe.received.isEmpty)
    pair.finish()
  }

  @Test("who shakes hands and then says nothing is told of the end by close_notify")
  func silentClient() throws {
    var options = ServerOptions()
    options.handshakeNanoseconds = 20_000_000
    let pair = try SecurePair(options: options)
    let probe = try pair.probe()
    probe.startTLS(try TLSContext(client: SecurePair.clientFiles(trusting: "ca")))
    pair.run { probe.hasEnded }
    #expect(probe.tls?.isEstablished == true)
    #expect(probe.progress == .ended)
    // The server's SETTINGS came first: frame type 4 on stream 0.
    #expect(probe.received.dropFirst(3).prefix(6) == [4, 0, 0, 0, 0, 0])
    pair.finish()
  }

  @Test("a graceful stop ends with GOAWAY and close_notify")
  func gracefulStop() throws {
    let pair = try SecurePair()
    let probe = try pair.probe()
    probe.startTLS(try TLSContext(client: SecurePair.clientFiles(trusting: "ca")))
    pair.run { probe.tls?.isEstablished == true && !probe.received.isEmpty }
    var isStopped = false
    pair.server.beginShutdown(graceNanoseconds: 50_000_000) { isStopped = true }
    pair.run { isStopped && probe.hasEnded }
    #expect(probe.progress == .ended)
    // The last frame, 17 bytes: GOAWAY (7) on stream 0, last stream 0, NO_ERROR.
    #expect(
      Array(probe.received.suffix(17)) == [0, 0, 8, 7] + [UInt8](repeating: 0, count: 13))
    pair.channel.close()
    pair.loop.run()
  }
}
