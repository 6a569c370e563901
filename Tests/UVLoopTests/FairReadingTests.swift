import Testing
@testable import UVLoop

/// Counts what arrives.
private final class Counter: ByteStreamHandler {
  let stream: ByteStream
  var count = 0
  var hasEnded = false
  var onRead: () -> Void = {}

  init(_ stream: ByteStream) {
    self.stream = stream
    stream.handler = self
    stream.startReading()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    count += bytes.count
    onRead()
  }
  func streamDidEnd(_ error: UVError?) {
    hasEnded = true
    stream.close()
  }
  func streamDidDrain() {}
}

/// A peer that sends without end gets one read of 64 KiB a turn at most.
@Suite("fair reading")
struct FairReadingTests {
  private let loop: EventLoop
  private let sender: Counter
  private let receiver: Counter
  private static let sent = 2_000_000

  init() throws {
    loop = try EventLoop()
    (receiver, sender) = try Self.pair(on: loop)
  }

  /// The two ends of a connection: who accepted it, and who made it.
  private static func pair(on loop: EventLoop) throws -> (accepted: Counter, connected: Counter) {
    var accepted: Counter?
    var connected: Counter?
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) {
      accepted = Counter($0)
    }
    try ByteStream.connect(to: try ListenAddress(parsing: listener.address), on: loop) {
      guard case .success(let stream) = $0 else { return }
      connected = Counter(stream)
    }
    while accepted == nil || connected == nil { loop.runOneTurn() }
    listener.close()
    return (try #require(accepted), try #require(connected))
  }

  /// Two megabytes are put into the kernel's buffers and our queue.
  private func flood() {
    let bytes = [UInt8](repeating: 7, count: FairReadingTests.sent)
    #expect(bytes.withUnsafeBytes(sender.stream.write))
  }

  @Test("waits while others have something and its time is used up, and what it takes is counted")
  func besideOthers() throws {
    flood()
    var least = BulkReading.burst
    while receiver.count < FairReadingTests.sent / 2 {
      loop.runOneTurn()
      least = min(least, loop.bulk.saved)
    }
    // Each of these reads cost something, which a twentieth of the time does not bring back at once.
    #expect(least < BulkReading.burst)

    // Another stream, whose byte is there in every turn.
    let (other, peer) = try Self.pair(on: loop)
    let before = receiver.count
    var lastHeard = EventLoop.clock
    other.onRead = { lastHeard = EventLoop.clock }
    // One may have been dealt a turn before the first byte. Where the machine had other things to do, the
    // others were quiet for long enough, which is a read a turn.
    var allowed = 1
    for _ in 0..<20 {
      // More than is earned in 20 such rounds.
      loop.bulk.took(1_000_000_000)
      let heard = other.count
      #expect([UInt8(1)].withUnsafeBytes(peer.stream.write))
      while other.count == heard {
        loop.runOneTurn(waiting: false)
        if EventLoop.clock - lastHeard >= BulkReading.quiet { allowed += 1 }
      }
    }
    #expect(receiver.count - before <= allowed * EventLoop.readBytes)
    #expect(receiver.count < FairReadingTests.sent)
    peer.stream.close()
    other.stream.close()
    while receiver.count < FairReadingTests.sent { loop.runOneTurn() }
    finish()
  }

  private func finish() {
    sender.stream.close()
    receiver.stream.close()
    receiver.onRead = {}
    while loop.runOneTurn() {}
  }

  @Test("one that waits is read again also behind a turn that took longer than the wait")
  func slowTurns() {
    // The kernel has all of it, so that nothing else can wake the loop.
    let bytes = [UInt8](repeating: 7, count: 3 * EventLoop.readBytes + 100)
    #expect(bytes.withUnsafeBytes(sender.stream.write))
    #expect(sender.stream.writeQueueSize == 0)
    receiver.onRead = { [loop, receiver] in
      if receiver.count == bytes.count { return loop.stop() }
      loop.bulk.othersDidRead()
      loop.bulk.took(1_000_000_000)
      let began = EventLoop.clock
      while EventLoop.clock - began < 3_000_000 {}
    }
    let guardian = LoopTimer(on: loop) { [loop] in loop.stop() }
    guardian.start(afterNanoseconds: 10_000_000_000)
    loop.run()
    #expect(receiver.count == bytes.count)
    guardian.stop()
    finish()
  }

  @Test("one that waits for its turn keeps the loop running")
  func waitingAlone() {
    flood()
    sender.stream.stopReading()
    receiver.onRead = { [loop] in
      loop.bulk.othersDidRead()
      loop.bulk.took(1_000_000_000)
    }
    // At the end nothing is left to do but to read what the kernel has.
    while receiver.count < FairReadingTests.sent && loop.runOneTurn() {}
    #expect(receiver.count == FairReadingTests.sent)
    finish()
  }

  @Test("one stream is read once a turn, and to its end")
  func oncePerTurn() {
    flood()
    var fullest = 0
    while receiver.count < FairReadingTests.sent {
      let before = receiver.count
      loop.runOneTurn()
      fullest = max(fullest, receiver.count - before)
    }
    #expect(receiver.count == FairReadingTests.sent)
    #expect(fullest == 65_536)
    finish()
  }

  @Test("a handler that stops in the middle of a flood hears nothing until it starts again")
  func stopping() {
    flood()
    receiver.onRead = { [receiver] in receiver.stream.stopReading() }
    while receiver.count == 0 { loop.runOneTurn() }
    let first = receiver.count
    for _ in 0..<20 { loop.runOneTurn(waiting: false) }
    #expect(receiver.count == first)
    receiver.onRead = {}
    receiver.stream.startReading()
    while receiver.count < FairReadingTests.sent { loop.runOneTurn() }
    finish()
  }

  @Test("stopped and started again within one read, a stream is still read once a turn")
  func stoppingAndStarting() {
    flood()
    receiver.onRead = { [receiver] in
      receiver.stream.stopReading()
      receiver.stream.startReading()
    }
    var fullest = 0
    while receiver.count < FairReadingTests.sent {
      let before = receiver.count
      loop.runOneTurn()
      fullest = max(fullest, receiver.count - before)
    }
    #expect(fullest == 65_536)
    finish()
  }

  @Test("a stream closed in the middle of a flood is heard of no more")
  func closing() {
    flood()
    receiver.onRead = { [receiver] in receiver.stream.close() }
    while receiver.count == 0 { loop.runOneTurn() }
    let first = receiver.count
    for _ in 0..<20 { loop.runOneTurn(waiting: false) }
    #expect(receiver.count == first)
    finish()
  }
}
