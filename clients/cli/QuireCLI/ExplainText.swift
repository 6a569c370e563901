internal import ForeignText
internal import ToolSupport

/// What a server answers when it is asked why, for people: the conclusion, and behind it what it rests on.
package enum ExplainText {
  /// Rows of a table, at most; --json and --csv have all.
  private static let shown = 100

  // MARK: A block

  /// - Parameter reply: `ExplainBlockReply`.
  package static func block(_ reply: Message, style: Style = .plain) -> String {
    var lines = [style.paint(conclusion(reply), .strong)]
    let hash = reply.bytes("block_hash")
    lines.append(
      hash.isEmpty
        ? "It has no content that a prefix could hit." : "Content " + Value.hexadecimal(hash))
    let held = reply.messages("holders")
    if !held.isEmpty { lines += ["", style.paint("Holders", .strong)] + holders(held) }
    let incidents = reply.messages("incidents")
    lines += ["", style.paint("What happened", .strong)]
    if !incidents.isEmpty { lines += self.incidents(incidents) }
    if reply.flag("history_off") {
      lines.append("  the server keeps no history of blocks: see quired --block-history")
    } else if reply.number("history_since") > 0 {
      lines.append(
        "  what was up to revision \(NumberText.grouped(reply.number("history_since"))) is not known"
      )
    } else if incidents.isEmpty {
      lines.append("  nothing yet")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// What it is and who made it so, in a sentence.
  private static func conclusion(_ reply: Message) -> String {
    let references = reply.number("ref_count")
    var text = "Block \(reply.number("block_id")) is \(reply.word("state"))"
    text +=
      references == 0
      ? ", without a reference"
      : ", with \(counted(references, "reference"))" + holding(reply.messages("holders"))
    if let last = reply.messages("incidents").last {
      text += "; last it was \(kind(last)) at revision "
      text += NumberText.grouped(last.number("revision")) + ", "
      text += StatsRows.clock(last.number("time_ms")) + " UTC"
      let id = last.number("sequence_id")
      let details = [id == 0 ? nil : "sequence \(id)", cause(last)].compactMap { $0 }
      if !details.isEmpty { text += " (" + details.joined(separator: ", ") + ")" }
    }
    return text + "."
  }

  /// ` of sequences 1, 2 and 5 more`.
  private static func holding(_ holders: [Message]) -> String {
    let ids = holders.filter { $0.has("sequence_id") }.map { "\($0.number("sequence_id"))" }
    let raw = holders.filter { !$0.has("sequence_id") }.reduce(UInt64(0)) {
      $0 &+ $1.number("references")
    }
    var parts: [String] = []
    if !ids.isEmpty {
      parts.append(
        (ids.count == 1 ? "sequence " : "sequences ") + ids.prefix(3).joined(separator: ", ")
          + (ids.count > 3 ? " and \(ids.count - 3) more" : ""))
    }
    if raw > 0 { parts.append("\(NumberText.grouped(raw)) without a sequence") }
    return parts.isEmpty ? "" : ": " + parts.joined(separator: ", ")
  }

  private static func holders(_ holders: [Message]) -> [String] {
    var table = TextTable([
      ("  SEQUENCE", .right), ("ENTRY", .right), ("REFERENCES", .right), ("SESSION", .left),
    ])
    for holder in holders.prefix(shown) {
      let isSequence = holder.has("sequence_id")
      table.row([
        isSequence ? "\(holder.number("sequence_id"))" : "raw",
        isSequence ? "\(holder.number("table_index"))" : "-", "\(holder.number("references"))",
        session(holder.number("session")),
      ])
    }
    return table.lines() + rest(holders.count - shown)
  }

  /// The newest last, and where there are many the newest only.
  private static func incidents(_ incidents: [Message]) -> [String] {
    var table = TextTable([
      ("  TIME", .right), ("REVISION", .right), ("WHAT", .left), ("WHY", .left),
      ("SEQUENCE", .right), ("SESSION", .left),
    ])
    for incident in incidents.suffix(shown) {
      let id = incident.number("sequence_id")
      table.row([
        StatsRows.clock(incident.number("time_ms")), "\(incident.number("revision"))",
        kind(incident), cause(incident) ?? "-", id == 0 ? "-" : "\(id)",
        session(incident.number("session")),
      ])
    }
    return table.lines() + rest(incidents.count - shown)
  }

  private static func kind(_ incident: Message) -> String {
    let word = incident.word("kind").replacing("-", with: " ")
    return word + (incident.flag("is_target") ? " to" : "")
  }

  private static func cause(_ incident: Message, _ field: String = "cause") -> String? {
    incident.code(field) == 0 ? nil : incident.word(field).replacing("-", with: " ")
  }

  /// The default session is 0.
  private static func session(_ id: UInt64) -> String {
    id == 0 ? "default" : NumberText.hexadecimal(id)
  }

  private static func counted(_ count: UInt64, _ name: String) -> String {
    count == 1 ? "1 \(name)" : "\(NumberText.grouped(count)) \(name)s"
  }

  private static func rest(_ count: Int) -> [String] {
    count > 0 ? ["  ... and \(count) more (--json has all)"] : []
  }

  // MARK: A prefix

  /// - Parameter reply: `ExplainLookupReply`.
  package static func prefix(_ reply: Message, style: Style = .plain) -> String {
    var lines = [style.paint(ForeignText.printable(reply.text("conclusion")), .strong)]
    let steps = reply.messages("steps")
    let hits = steps.filter { $0.number("block_id") > 0 }
    lines += [
      "",
      style.paint("Cached", .strong) + "  \(NumberText.grouped(UInt64(hits.count))) of "
        + counted(reply.number("full_blocks"), "full block"),
    ]
    if !hits.isEmpty {
      let words = SequencesText.stretches(of: hits.map { $0.number("block_id") })
      lines.append("  blocks " + words.prefix(shown).joined(separator: " "))
      lines += rest(words.count - shown)
    }
    let misses = steps.filter { $0.number("block_id") == 0 }
    if !misses.isEmpty { lines += ["", style.paint("Missed", .strong)] + self.misses(misses) }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func misses(_ steps: [Message]) -> [String] {
    var table = TextTable([
      ("  INDEX", .right), ("HASH", .left), ("EVICTED AT", .right), ("TIME", .right),
      ("WHY", .left), ("FOR SEQUENCE", .right),
    ])
    for step in steps.prefix(shown) {
      let revision = step.number("evicted_revision")
      let id = step.number("evicted_for_sequence")
      table.row([
        "\(step.number("block_index"))",
        Value.hexadecimal(Array(step.bytes("block_hash").prefix(6))),
        revision == 0 ? "-" : "\(revision)",
        revision == 0 ? "-" : StatsRows.clock(step.number("evicted_ms")),
        cause(step, "evicted_cause") ?? "-", id == 0 ? "-" : "\(id)",
      ])
    }
    return table.lines() + rest(steps.count - shown)
  }
}
