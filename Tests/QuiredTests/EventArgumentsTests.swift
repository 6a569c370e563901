import BlockService
import Testing
import VLLMEvents
import quired

@Suite("The command line, where it is about events")
struct EventArgumentsTests {
  private struct NotServing: Error {}

  private func parse(_ words: [String]) throws -> Arguments {
    guard case .serve(let arguments) = try Arguments.parse(words) else { throw NotServing() }
    return arguments
  }

  private func problem(_ words: [String]) -> String? {
    do throws(Arguments.Problem) {
      _ = try Arguments.parse(words)
      return nil
    } catch {
      return error.description
    }
  }

  @Test("what is kept, and when subscribers hear")
  func recording() throws {
    #expect(try parse([]).events == EventOptions())
    let events = try parse([
      "--kv-events=on", "--kv-events-bytes=2MiB", "--kv-events-batches", "10",
      "--kv-events-heartbeat=1s", "--kv-events-delay=20ms", "--kv-events-linger=1h",
    ]).events
    #expect(events.recording == .on)
    #expect((events.ringBytes, events.ringBatches) == (2_097_152, 10))
    #expect(events.heartbeatNanoseconds == 1_000_000_000)
    #expect(events.delayNanoseconds == 20_000_000)
    #expect(events.lingerNanoseconds == 3_600_000_000_000)
  }

  @Test("a publisher in vLLM's form, and a pool that keeps its tokens for it")
  func publisher() throws {
    #expect(try parse([]).zmq == nil)
    let arguments = try parse([
      "--zmq-replay=ipc:///run/replay", "--zmq-events", "tcp://*:5557", "--zmq-topic=kv",
      "--zmq-pool=a", "--zmq-hashes=bytes", "--zmq-rank=3", "--zmq-high-water=7",
      "--zmq-replay-batches=8", "--zmq-replay-bytes=1MiB",
      "--pool=a:blocks=4,block-size=4,keep-tokens=on",
    ])
    var options = ZMQEventOptions(endpoint: "tcp://*:5557")
    options.replayEndpoint = "ipc:///run/replay"
    options.topic = "kv"
    options.pool = "a"
    options.hashes = .bytes
    options.rank = 3
    options.highWater = 7
    options.replayBatches = 8
    options.replayBytes = 1_048_576
    #expect(arguments.zmq == options)
    #expect(arguments.pools[0].size.keepsTokens)
  }

  @Test(
    "what cannot be is refused, with the option and its limit",
    arguments: [
      ("--kv-events=yes", "must be off, demand or on"),
      ("--kv-events-bytes=1023KiB", "must be from 1MiB to 64GiB"),
      ("--kv-events-batches=0", "must be a whole number from 1 to 100000000"),
      ("--kv-events-delay=5", "must be from 1ms to 8760h, such as 500ms, 30s, 5m or 2h"),
      ("--zmq-events=udp://1", "must be tcp://HOST:PORT or ipc://PATH"),
      ("--zmq-hashes=hex", "must be int or bytes"),
      ("--zmq-rank=65536", "must be a whole number from 0 to 65535"),
      ("--zmq-topic=\(String(repeating: "x", count: 256))", "must be at most 255 bytes"),
    ])
  func refused(word: String, reason: String) {
    let parts = word.split(separator: "=")
    #expect(problem([word]) == "\(parts[0]) '\(parts[1])': \(reason)")
  }

  @Test("what says something only beside --zmq-events is refused without it")
  func alone() {
    #expect(problem(["--zmq-topic=kv"]) == "--zmq-topic needs --zmq-events")
  }
}
