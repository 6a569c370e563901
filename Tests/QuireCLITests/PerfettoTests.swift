import FoundationEssentials
import QuireCLI
import Testing

private func stats(_ allocated: UInt64) -> Message {
  var stats = Message("Stats")
  stats.set("active_blocks", 3)
  stats.set("shared_blocks", 1)
  stats.set("cached_blocks", 2)
  stats.set("free_blocks", 4)
  stats.set("allocated_blocks", allocated)
  return stats
}

private func sequence(_ id: UInt64, _ state: UInt64, tokens: UInt64 = 5) -> Message {
  var sequence = Message("Sequence")
  sequence.set("sequence_id", id)
  sequence.set("state", state)
  sequence.set("tokens", tokens)
  sequence.set("exclusive_blocks", 2)
  return sequence
}

private func slices(_ events: [String]) -> [String] { events.filter { $0.contains("\"X\"") } }

@Suite("traces for Perfetto")
struct PerfettoTests {
  @Test("every event is JSON by itself, whatever the pool is called")
  func json() throws {
    var trace = PerfettoTrace()
    let events =
      PerfettoTrace.head(pool: "a\"b") + trace.look(stats(1), [sequence(1, 2)], at: 1_000)
      + trace.look(stats(9), [], at: 2_000) + trace.end(at: 3_000)
    let text = "[" + events.joined(separator: ",") + "]"
    #expect(throws: Never.self) {
      _ = try JSONDecoder().decode([Event].self, from: Data(text.utf8))
    }
  }

  private struct Event: Decodable {
    var name: String
    var ph: String
    var pid: Int
    var ts: Double?
  }

  @Test("counters are of the moment, rates since the look before")
  func counters() {
    var trace = PerfettoTrace()
    let first = trace.look(stats(100), nil, at: 1_000)
    #expect(
      first[0]
        == #"{"name":"blocks","ph":"C","pid":1,"ts":1000000,"args":{"used":4,"cached":2,"free":4}}"#
    )
    #expect(!first.contains { $0.contains("in a second") })
    let second = trace.look(stats(150), nil, at: 1_500)
    #expect(second.last?.contains(#""allocated":100.0"#) == true)
  }

  @Test("a phase lasts from the look that saw it first to the one that saw another")
  func phases() {
    var trace = PerfettoTrace()
    #expect(slices(trace.look(stats(0), [sequence(7, 1)], at: 1_000)) == [])
    #expect(slices(trace.look(stats(0), [sequence(7, 1)], at: 2_000)) == [])
    #expect(
      slices(trace.look(stats(0), [sequence(7, 2)], at: 3_000)) == [
        #"{"name":"waiting","ph":"X","pid":2,"tid":1,"ts":1000000,"dur":2000000,"args":{"sequence":"7","tokens":5,"blocks":2,"preemptions":0}}"#
      ])
    let gone = slices(trace.look(stats(0), [], at: 4_000))
    #expect(gone.count == 1 && gone[0].contains(#""running""#))
    #expect(trace.end(at: 5_000) == [])
  }

  @Test("a lane goes to another sequence when the one before is gone, and not sooner")
  func lanes() {
    var trace = PerfettoTrace()
    let names = trace.look(stats(0), [sequence(1, 2), sequence(2, 2)], at: 1_000).filter {
      $0.contains("thread_name")
    }
    #expect(
      names == [
        #"{"name":"thread_name","ph":"M","pid":2,"tid":1,"args":{"name":"lane 1"}}"#,
        #"{"name":"thread_name","ph":"M","pid":2,"tid":2,"args":{"name":"lane 2"}}"#,
      ])
    let first = slices(trace.look(stats(0), [sequence(2, 2), sequence(3, 2)], at: 2_000))
    #expect(first.count == 1 && first[0].contains(#""tid":1"#))
    _ = trace.look(stats(0), [sequence(2, 2), sequence(3, 2), sequence(4, 2)], at: 3_000)
    let rest = trace.end(at: 4_000)
    #expect(rest.map { $0.contains(#""tid":2"#) } == [true, false, false])
    #expect(rest[1].contains(#""sequence":"3""#) && rest[1].contains(#""tid":3"#))
    #expect(rest[2].contains(#""sequence":"4""#) && rest[2].contains(#""tid":1"#))
  }
}
