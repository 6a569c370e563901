import GRPCWire
import HTTP2
import Testing
import UVLoop

@testable import GRPCServer

@Suite("clients that were cut off for a flood")
struct LingeringTests {
  private func options(lingering nanoseconds: UInt64) -> ServerOptions {
    var options = ServerOptions()
    options.controlFrameBurst = 20
    options.cutOffLingerNanoseconds = nanoseconds
    return options
  }

  /// More control frames than that at once.
  private func flood(_ harness: Harness) throws -> RawBytes {
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    attacker.send(many(attacker.frame(6, flags: 1, [0, 0, 0, 0, 0, 0, 0, 1]), 40))
    return attacker
  }

  private func many(_ frame: [UInt8], _ count: Int) -> [UInt8] {
    (0..<count).flatMap { _ in frame }
  }

  @Test("are told at once and closed a while later; the connection is gone meanwhile")
  func toldFirst() throws {
    let harness = try Harness(options: options(lingering: 60_000_000))
    let began = EventLoop.clock
    let attacker = try flood(harness)
    harness.run("the word") { attacker.goAway != nil }
    #expect(attacker.goAway == 11)
    #expect(!attacker.hasEnded)
    #expect(harness.server.statistics.connections == 0)
    attacker.send(many(attacker.frame(6, [1, 2, 3, 4, 5, 6, 7, 8]), 100))
    harness.run("the end") { attacker.hasEnded }
    #expect(EventLoop.clock - began >= 60_000_000)
    #expect(!attacker.frames.contains { $0.kind == 6 })
    harness.finish()
  }

  @Test("are kept up to a number, the eldest going first, and not past the server's end")
  func number() throws {
    let harness = try Harness(options: options(lingering: 3_600_000_000_000))
    var attackers: [RawBytes] = []
    for _ in 0..<258 {
      let attacker = try flood(harness)
      harness.run("the word") { attacker.goAway == 11 }
      attackers.append(attacker)
    }
    harness.run("two ends") { attackers[0].hasEnded && attackers[1].hasEnded }
    #expect(attackers.filter(\.hasEnded).count == 2)
    harness.finish()
    // Nothing else keeps the loop from its end.
    harness.run("all ends") { attackers.allSatisfy(\.hasEnded) }
  }

  @Test("are closed at once where much of what they were sent still waits for their socket")
  func queued() throws {
    var options = options(lingering: 3_600_000_000_000)
    // It goes on being read.
    options.maxQueuedOutputBytes = 1 << 30
    let harness = try Harness(options: options)
    var wide = HTTP2Options()
    wide.streamWindowBytes = 1 << 30
    wide.connectionWindowBytes = 1 << 30
    let attacker = try harness.connect(wide)
    attacker.send(attacker.begin("/test.Echo/Silent"), [1])
    harness.run("the call") { harness.echo.silent.first?.received == 1 }
    attacker.stream.stopReading()
    // More than sockets take.
    for _ in 0..<40 {
      harness.echo.silent[0].responses.send(byteCount: 1_000_000) {
        $0.initializeMemory(as: UInt8.self, repeating: 7, count: 1_000_000)
      }
    }
    harness.run("a queue") { harness.server.connections[0].queuedSocketBytes > 100_000 }
    let acknowledgement: [UInt8] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    #expect(many(acknowledgement, 40).withUnsafeBytes(attacker.stream.write))
    harness.run("the cut") { harness.server.statistics.connections == 0 }
    attacker.stream.startReading()
    harness.run("the end") { attacker.hasEnded }
    harness.finish([attacker])
  }

  @Test("a long read is judged as it goes: what follows a flood is not looked at")
  func slices() throws {
    let harness = try Harness(options: options(lingering: 1_000_000))
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    // 60 KB: the second slice of 8 KiB is not decoded, in whose last frames a call lies.
    let call =
      attacker.frame(1, flags: 4, on: 1, head())
      + attacker.frame(0, flags: 1, on: 1, [0, 0, 0, 0, 1, 7])
    attacker.send(many(attacker.frame(6, flags: 1, [0, 0, 0, 0, 0, 0, 0, 1]), 3_500) + call)
    harness.run("the end") { attacker.hasEnded }
    #expect(attacker.goAway == 11)
    #expect(harness.server.statistics.callsTotal == 0)
    harness.finish()
  }

  @Test("header lists of over four times the limit end the connection after a few")
  func headerBombs() throws {
    var options = ServerOptions()
    options.cutOffLingerNanoseconds = 1_000_000
    // However slow the machine is, time forgives none of them.
    options.controlFramesPerSecond = 1
    let harness = try Harness(options: options)
    let attacker = RawBytes(try harness.open())
    attacker.greet()
    // A field of 4,000 bytes goes into the table, and is named 4,000 times, a byte each.
    let big = [0x40, 1, 0x61, 0x7F, 0xA1, 0x1E] + [UInt8](repeating: 0x62, count: 4_000)
    let block = head() + big + [UInt8](repeating: 0xBE, count: 4_000)
    for index in 0..<2 {
      attacker.send(attacker.frame(1, flags: 5, on: UInt32(2 * index + 1), block))
    }
    // The greeting was two control frames of the thousand; each list counts for four hundred.
    harness.run("two resets") { attacker.frames.filter { $0.kind == 3 }.count == 2 }
    #expect(attacker.goAway == nil)
    for index in 2..<4 {
      attacker.send(attacker.frame(1, flags: 5, on: UInt32(2 * index + 1), block))
    }
    harness.run("the end") { attacker.hasEnded }
    #expect(attacker.goAway == 11)
    #expect(harness.server.statistics.cutOff[.controlFrames] == 1)
    harness.finish()
  }
}
