import TLSEngine
import TestSupport
import Testing

/// A client's and a server's session, and between them bytes that a test can watch and change.
final class MemoryLink {
  /// One side: what it received and what became of it.
  final class Side {
    let session: TLSSession
    var received: [UInt8] = []
    var progress = TLSSession.Progress.more
    /// Ciphertext on its way to this side.
    var wire: [UInt8] = []
    /// The longest piece of plaintext handed over at once.
    var longestPiece = 0

    init(_ session: TLSSession) { self.session = session }
    var failure: TLSFailure? {
      if case .failed(let failure) = progress { failure } else { nil }
    }
  }

  let client: Side
  let server: Side
  /// How many bytes a side gets at once.
  var pieceBytes = Int.max

  convenience init(
    server files: TLSServerConfiguration = MemoryLink.serverFiles(),
    client clientConfiguration: TLSClientConfiguration = MemoryLink.clientFiles(),
    host: String = "localhost"
  ) throws {
    try self.init(
      sharing: try TLSContext(server: files), client: clientConfiguration, host: host)
  }

  init(
    sharing context: TLSContext, client clientConfiguration: TLSClientConfiguration,
    host: String = "localhost"
  ) throws {
    server = Side(TLSSession(context))
    client = Side(TLSSession(try TLSContext(client: clientConfiguration), host: host))
    capture(client) {
      if let failure = client.session.start() { client.progress = .failed(failure) }
    }
  }

  static func serverFiles(_ name: String = "server", clientCA: String? = nil)
    -> TLSServerConfiguration
  {
    TLSServerConfiguration(
      certificatePath: TestCertificates.path("\(name).pem"),
      keyPath: TestCertificates.path("\(name).key"),
      clientCAPath: clientCA.map { TestCertificates.path("\($0).pem") })
  }

  static func clientFiles(ca: String = "ca", certificate: String? = nil) -> TLSClientConfiguration {
    var files = TLSClientConfiguration()
    files.caPath = TestCertificates.path("\(ca).pem")
    files.certificatePath = certificate.map { TestCertificates.path("\($0).pem") }
    files.keyPath = certificate.map { TestCertificates.path("\($0).key") }
    return files
  }

  var areEstablished: Bool { client.session.isEstablished && server.session.isEstablished }

  func peer(of side: Side) -> Side { side === client ? server : client }

  /// Runs `body` and puts what it has `side` send on the wire.
  func capture(_ side: Side, _ body: () -> Void) {
    let buffers = side.session.context.buffers
    let mark = buffers.count
    body()
    peer(of: side).wire += buffers.bytes(from: mark)
    buffers.truncate(to: mark)
  }

  func deliver(to side: Side) {
    while !side.wire.isEmpty {
      let piece = Array(side.wire.prefix(pieceBytes))
      side.wire.removeFirst(piece.count)
      capture(side) {
        let progress = piece.withUnsafeBytes { bytes in
          side.session.receive(bytes) {
            side.received += $0
            side.longestPiece = max(side.longestPiece, $0.count)
            return true
          }
        }
        if side.progress == .more { side.progress = progress }
      }
    }
  }

  /// Carries bytes both ways until none is left.
  func settle() {
    while !client.wire.isEmpty || !server.wire.isEmpty {
      deliver(to: server)
      deliver(to: client)
    }
  }

  func send(_ bytes: [UInt8], from side: Side) {
    capture(side) { #expect(bytes.withUnsafeBytes(side.session.seal) == nil) }
  }
}
