internal import ForeignText
internal import ToolSupport

/// Looks at a pool as events of the Chrome trace format, which Perfetto opens: counters (`ph` C) for
/// blocks by state, sequences, fragmentation and rates; slices (`ph` X) for the phases of sequences.
///
/// Phases are as fine as the looks: one that began and ended between two is not seen. A sequence has a
/// lane of its own while it lives; another gets it afterwards, so that slices of a lane never overlap.
package struct PerfettoTrace {
  private struct Phase {
    var state: String
    /// Microseconds since the epoch.
    var began: UInt64
    var lane: Int
    var tokens: UInt64
    var blocks: UInt64
    var preemptions: UInt64
  }

  private var phases: [UInt64: Phase] = [:]
  /// Lanes that nobody has, ascending.
  private var freeLanes: [Int] = []
  private var lanes = 0
  private var last: (stats: Message, milliseconds: UInt64)?

  package init() {}

  /// Names of the tracks: what a file begins with.
  package static func head(pool: String) -> [String] {
    func name(_ process: Int, _ text: String) -> String {
      "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":\(process),\"args\":{\"name\":"
        + ForeignText.quoted(text) + "}}"
    }
    return [name(1, "pool \(pool)"), name(2, "sequences of \(pool)")]
  }

  /// Events of one look.
  /// - Parameter sequences: All of them; nil where nobody looked.
  package mutating func look(
    _ stats: Message, _ sequences: [Message]?, at milliseconds: UInt64
  ) -> [String] {
    var events = counters(stats, at: milliseconds)
    if let sequences { events += take(sequences, at: milliseconds &* 1000) }
    last = (stats, milliseconds)
    return events
  }

  /// The phases that are under way, up to now.
  package mutating func end(at milliseconds: UInt64) -> [String] {
    let events = phases.sorted { $0.key < $1.key }.map {
      Self.slice($0.key, $0.value, until: milliseconds &* 1000)
    }
    phases = [:]
    return events
  }

  private mutating func counters(_ stats: Message, at milliseconds: UInt64) -> [String] {
    func counter(_ name: String, _ values: [(String, String)]) -> String {
      "{\"name\":\"\(name)\",\"ph\":\"C\",\"pid\":1,\"ts\":\(milliseconds &* 1000),\"args\":{"
        + values.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}}"
    }
    func counts(_ fields: [(String, String)]) -> [(String, String)] {
      fields.map { ($0, "\(stats.number($1))") }
    }
    let used = StatsText.used(stats)
    var events = [
      counter(
        "blocks",
        [("used", "\(used)")] + counts([("cached", "cached_blocks"), ("free", "free_blocks")])),
      counter(
        "used blocks",
        counts([
          ("active", "active_blocks"), ("shared", "shared_blocks"), ("pinned", "pinned_blocks"),
        ])),
      counter(
        "sequences",
        ["running", "waiting", "preempted", "swapped"].map {
          ($0, "\(stats.number($0 + "_sequences"))")
        }),
      counter(
        "fragmentation in percent",
        [("internal", "internal_fragmentation"), ("external", "external_fragmentation")].map {
          ($0, Self.number(stats.real($1) * 100))
        }),
    ]
    if let last, milliseconds > last.milliseconds {
      let seconds = Double(milliseconds - last.milliseconds) / 1000
      events.append(
        counter(
          "in a second",
          [
            ("allocated", "allocated_blocks"), ("freed", "freed_blocks"), ("evicted", "evictions"),
            ("preempted", "preemptions"),
          ].map { name, field in
            let (now, before) = (stats.number(field), last.stats.number(field))
            return (name, NumberText.fixed(Double(now >= before ? now - before : now) / seconds, 1))
          }))
    }
    return events
  }

  private mutating func take(_ sequences: [Message], at microseconds: UInt64) -> [String] {
    var events: [String] = []
    var present: Set<UInt64> = []
    for sequence in sequences {
      let id = sequence.number("sequence_id")
      present.insert(id)
      let state = sequence.word("state")
      var phase = Phase(
        state: state, began: microseconds, lane: 0, tokens: sequence.number("tokens"),
        blocks: SequencesText.blocks(sequence), preemptions: sequence.number("preemptions"))
      if let known = phases[id] {
        phase.lane = known.lane
        if known.state == state, known.preemptions == phase.preemptions {
          phase.began = known.began
        } else {
          events.append(Self.slice(id, known, until: microseconds))
        }
      } else {
        phase.lane = takeLane(&events)
      }
      phases[id] = phase
    }
    for (id, phase) in phases.sorted(by: { $0.key < $1.key }) where !present.contains(id) {
      events.append(Self.slice(id, phase, until: microseconds))
      phases[id] = nil
      freeLanes.append(phase.lane)
      freeLanes.sort(by: >)
    }
    return events
  }

  /// A new one gets a name: a viewer would call it a thread.
  private mutating func takeLane(_ events: inout [String]) -> Int {
    if let lane = freeLanes.popLast() { return lane }
    lanes += 1
    events.append(
      "{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":2,\"tid\":\(lanes),"
        + "\"args\":{\"name\":\"lane \(lanes)\"}}")
    return lanes
  }

  /// JSON has no word for what is no number.
  private static func number(_ value: Double) -> String {
    value.isFinite ? NumberText.fixed(value, 2) : "0"
  }

  private static func slice(_ id: UInt64, _ phase: Phase, until microseconds: UInt64) -> String {
    "{\"name\":\"\(phase.state)\",\"ph\":\"X\",\"pid\":2,\"tid\":\(phase.lane),\"ts\":\(phase.began),"
      + "\"dur\":\(microseconds - min(phase.began, microseconds)),\"args\":{\"sequence\":\"\(id)\","
      + "\"tokens\":\(phase.tokens),\"blocks\":\(phase.blocks),"
      + "\"preemptions\":\(phase.preemptions)}}"
  }
}
