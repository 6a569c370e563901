internal import TLSEngine
internal import TestSupport

/// A byte of choices, then orders: what happens to the bytes between a TLS client and server.
///
/// No change of the bytes makes a side hand over anything but what the other side sent, in order.
func fuzzTLS(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  let link = TamperedLink(isTLS12: choices & 1 != 0, asksClient: choices & 2 != 0)
  if choices & 4 == 0 { link.settle() }
  while !reader.isEmpty { link.obey(&reader) }
  link.settle()
  link.check()
}

private final class TamperedLink {
  private final class Side {
    let session: TLSSession
    var wire: [UInt8] = []
    var sent: [UInt8] = []
    var received: [UInt8] = []
    var progress = TLSSession.Progress.more

    init(_ session: TLSSession) { self.session = session }
  }

  private let sides: [Side]
  private var next: UInt8 = 0

  init(isTLS12: Bool, asksClient: Bool) {
    var server = TLSServerConfiguration(
      certificatePath: TestCertificates.path("server.pem"),
      keyPath: TestCertificates.path("server.key"))
    if asksClient { server.clientCAPath = TestCertificates.path("ca.pem") }
    if !isTLS12 { server.minimumVersion = .tls13 }
    var client = TLSClientConfiguration()
    client.caPath = TestCertificates.path("ca.pem")
    if asksClient {
      client.certificatePath = TestCertificates.path("client.pem")
      client.keyPath = TestCertificates.path("client.key")
    }
    do {
      sides = [
        Side(TLSSession(try TLSContext(server: server))),
        Side(TLSSession(try TLSContext(client: client), host: "localhost")),
      ]
    } catch {
      fatalError("\(error)")
    }
    capture(1) { _ = sides[1].session.start() }
  }

  /// Runs `body` and puts what it has the side send on the wire to the other.
  private func capture(_ index: Int, _ body: () -> Void) {
    let buffers = sides[index].session.context.buffers
    let mark = buffers.count
    body()
    sides[1 - index].wire += buffers.bytes(from: mark)
    buffers.truncate(to: mark)
    demand(buffers.count == mark, "ciphertext of another call")
  }

  private func deliver(_ index: Int, _ count: Int) {
    let side = sides[index]
    let piece = Array(side.wire.prefix(count))
    side.wire.removeFirst(piece.count)
    capture(index) {
      let progress = withExactCopy(piece) { bytes in
        side.session.receive(bytes) {
          demand(side.session.isEstablished, "plaintext before the handshake")
          demand($0.count <= 16_384, "\($0.count) bytes of plaintext in one piece")
          side.received += $0
          return true
        }
      }
      if side.progress != .more {
        demand(progress != .more || piece.isEmpty || side.progress == .ended, "it goes on")
      } else {
        side.progress = progress
      }
    }
  }

  func settle() {
    while sides.contains(where: { !$0.wire.isEmpty }) {
      deliver(0, .max)
      deliver(1, .max)
    }
  }

  func obey(_ reader: inout InputReader) {
    let order = reader.byte()
    let index = Int(order >> 7)
    let side = sides[index]
    switch order % 10 {
    case 0: deliver(index, Int(reader.byte()))
    case 1, 2: send(index, Int(reader.word() % 40_000))
    case 3: change(side, at: Int(reader.word()), by: reader.byte())
    case 4: side.wire.insert(contentsOf: reader.bytes(Int(reader.byte())), at: 0)
    case 5: side.wire.append(contentsOf: reader.bytes(Int(reader.byte())))
    case 6: side.wire.removeLast(min(side.wire.count, Int(reader.byte())))
    case 7: side.wire += side.wire.prefix(30_000)
    case 8: capture(index) { side.session.end() }
    default: settle()
    }
  }

  private func send(_ index: Int, _ count: Int) {
    let side = sides[index]
    guard side.session.isEstablished, side.progress == .more else { return }
    let bytes = (0..<count).map { _ in
      next &+= 1
      return next
    }
    capture(index) {
      let failure = withExactCopy(bytes) { side.session.seal($0) }
      if failure == nil { side.sent += bytes }
    }
  }

  private func change(_ side: Side, at offset: Int, by: UInt8) {
    if side.wire.isEmpty { return }
    side.wire[offset % side.wire.count] ^= by
  }

  func check() {
    for (index, side) in sides.enumerated() {
      demand(
        sides[1 - index].sent.starts(with: side.received),
        "side \(index) received what nobody sent")
      demand(side.session.isEstablished || side.received.isEmpty, "plaintext of nobody")
    }
  }
}
