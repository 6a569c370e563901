import TLSEngine
import Testing
import UVLoop

@testable import GRPCServer

@Suite("many TLS handshakes at once")
struct HandshakeGateTests {
  @Test("wait while others are served, and all get in when nobody is")
  func flood() throws {
    var options = ServerOptions()
    options.tlsHandshakePercent = 1
    let pair = try SecurePair(options: options)
    // Three hundred take longer than the 10 ms that the share is saved up for.
    let context = try TLSContext(client: SecurePair.clientFiles(trusting: "ca"))
    let flood = try (0..<300).map { _ in try pair.probe() }
    for probe in flood { probe.startTLS(context) }
    var turns = 0
    pair.run {
      // As if somebody had been read from in each turn.
      pair.server.readsServed &+= 1
      turns += 1
      return turns == 100
    }
    #expect(pair.server.handshakes.count > 0)
    #expect(flood.contains { $0.tls?.isEstablished == true })
    // The last word of each handshake is a client's, and has its turn, too.
    pair.run {
      pair.server.handshakes.count == 0 && flood.allSatisfy { $0.tls?.isEstablished == true }
    }
    for probe in flood { probe.stream.close() }
    pair.finish()
  }
}
