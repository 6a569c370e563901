import TLSEngine
import TestSupport
import Testing

/// What happens once the handshake is done.
@Suite("TLS records")
struct RecordTests {
  private func established() throws -> MemoryLink {
    let link = try MemoryLink()
    link.settle()
    #expect(link.areEstablished)
    return link
  }

  @Test("a megabyte goes each way, in pieces of a record")
  func megabyte() throws {
    let link = try established()
    let bytes = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    link.pieceBytes = 10_007
    link.send(bytes, from: link.client)
    // 64 records of 16 KiB, each with 22 bytes of header, type and tag.
    #expect(link.server.wire.count == (1 << 20) + 64 * 22)
    link.settle()
    link.send(bytes, from: link.server)
    link.settle()
    #expect(link.server.received == bytes && link.client.received == bytes)
    #expect(link.server.longestPiece == 16_384)
    #expect(link.server.progress == .more && link.client.progress == .more)
  }

  @Test("a record that is not whole yields nothing until it is")
  func halfRecord() throws {
    let link = try established()
    link.send([1, 2, 3, 4], from: link.client)
    let record = link.server.wire
    link.server.wire = Array(record.dropLast(2))
    link.deliver(to: link.server)
    #expect(link.server.received.isEmpty && link.server.progress == .more)
    link.server.wire = Array(record.suffix(2))
    link.deliver(to: link.server)
    #expect(link.server.received == [1, 2, 3, 4])
  }

  @Test(
    "a changed byte ends the connection with an alert, and nothing of the record is handed over")
  func changedByte() throws {
    let link = try established()
    link.send([1, 2, 3, 4], from: link.client)
    link.server.wire[7] ^= 1
    link.deliver(to: link.server)
    #expect(link.server.received.isEmpty)
    #expect(link.server.failure?.isHandshake == false)
    link.deliver(to: link.client)
    #expect(link.client.failure?.reason.contains("bad record mac") == true)
  }

  @Test("garbage after the handshake ends the connection")
  func garbage() throws {
    let link = try established()
    link.server.wire = [UInt8](repeating: 0x41, count: 100_000)
    link.deliver(to: link.server)
    #expect(link.server.failure != nil && link.server.received.isEmpty)
  }

  @Test("the end is told and heard, once, and nothing can be sent after it")
  func closeNotify() throws {
    let link = try established()
    link.send([9], from: link.client)
    link.capture(link.client) { link.client.session.end() }
    let length = link.server.wire.count
    link.capture(link.client) { link.client.session.end() }
    #expect(link.server.wire.count == length)
    link.deliver(to: link.server)
    #expect(link.server.received == [9])
    #expect(link.server.progress == .ended)
    #expect([1].withUnsafeBytes(link.client.session.seal) != nil)
  }

  @Test("a handler that wants no more gets no more of the read")
  func stopsReading() throws {
    let link = try established()
    link.send([1], from: link.client)
    link.send([2], from: link.client)
    var seen: [UInt8] = []
    let progress = link.server.wire.withUnsafeBytes { bytes in
      link.server.session.receive(bytes) {
        seen += $0
        return false
      }
    }
    #expect(seen == [1] && progress == .more)
  }

  @Test("a peer may change its keys, and is answered")
  func keyUpdate() throws {
    let link = try established()
    for _ in 0..<30 {
      link.capture(link.client) { link.client.session.updateKeys() }
      link.send([1], from: link.client)
    }
    link.settle()
    link.send([2], from: link.server)
    link.settle()
    #expect(link.server.received == [UInt8](repeating: 1, count: 30))
    #expect(link.client.received == [2])
  }

  @Test("a peer that does nothing but change its keys is cut off in the middle of a read")
  func keyUpdateFlood() throws {
    let link = try established()
    for _ in 0..<1_000 { link.capture(link.client) { link.client.session.updateKeys() } }
    let record = 27
    #expect(link.server.wire.count == 1_000 * record)
    link.deliver(to: link.server)
    #expect(
      link.server.failure?.reason == "too many handshake messages after the handshake")
    // Answers to those that were taken, and no more.
    #expect(link.client.wire.count <= 33 * record)
  }

  @Test("what one session sends while another one receives is kept apart")
  func nested() throws {
    let buffers = TLSBuffers()
    let context = try TLSContext(server: MemoryLink.serverFiles(), buffers: buffers)
    let files = MemoryLink.clientFiles()
    let links = try (0..<2).map { _ in try MemoryLink(sharing: context, client: files) }
    for link in links { link.settle() }
    links[0].send([5], from: links[0].client)
    links[0].server.wire.withUnsafeBytes { bytes in
      _ = links[0].server.session.receive(bytes) { _ in
        links[1].capture(links[1].server) { links[1].server.session.end() }
        return true
      }
    }
    #expect(buffers.count == 0)
    links[1].deliver(to: links[1].client)
    #expect(links[1].client.progress == .ended)
    #expect(links[0].client.progress == .more)
  }
}
