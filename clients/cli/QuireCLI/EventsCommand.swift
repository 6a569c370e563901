internal import ToolSupport

extension CommandSpec {
  static let events = CommandSpec(
    name: "events", summary: "what becomes of the content of blocks, as it happens",
    options: [
      OptionSpec(
        "--from", "N", .whole(0...UInt64.max),
        "from batch N on, if the server still has it (default: from the next one on)"),
      OptionSpec(
        "--epoch", "N", .whole(1...UInt64.max),
        "with --from: only if batches are still numbered as then"),
      OptionSpec("--all", .flag, "forks, copies and moves, too"),
      OptionSpec("--tokens", .flag, "token ids of what is stored, where the pool keeps them"),
      OptionSpec(
        "--count", "N", .whole(1...1_000_000_000), "so many batches with events, then end"),
    ],
    notes: """
      A line for each event: time of day (UTC), batch, revision, kind, blocks, hashes (the first six
      bytes; --json has all), cause. Blocks become hit-able (stored), content can be hit no more
      (removed, cleared), and with --all sequences fork, copies are ordered (copied) and content goes
      elsewhere (moved). Ends with 3 when the server has no such batch any more, or when this program
      falls behind what is kept.
      """,
    examples: [
      "events --all", "events --from 1 --count 100 --csv > events.csv",
      "events --json | jq -c .events[].stored.block_ids",
    ],
    check: { invocation throws(UsageError) in
      if invocation.has("--epoch"), !invocation.has("--from") {
        throw UsageError("--epoch needs --from")
      }
    })
}

extension Command {
  func events() throws(Failure) -> ExitCode {
    let connection = try connect()
    var request = connection.request("SubscribeKvEventsRequest")
    if let first = invocation.whole("--from") { request.set("start_sequence_number", first) }
    request.set("epoch", invocation.whole("--epoch") ?? 0)
    request.set("with_forks_and_copies", invocation.has("--all"))
    request.set("with_token_ids", invocation.has("--tokens"))
    var left = invocation.whole("--count") ?? .max
    var failure: Failure?
    if invocation.format == .csv { try terminal.write(CSVText.row(EventText.columns)) }
    try connection.stream("Events/SubscribeKvEvents", request, of: "KvEventBatch") { batch in
      // Without events it only says that the server is there.
      guard !batch.messages("events").isEmpty else { return true }
      do throws(Failure) {
        switch invocation.format {
        case .text: try terminal.write(EventText.lines(batch, style: terminal.style))
        case .json: try terminal.write(batch.json + "\n")
        case .csv: try terminal.write(EventText.rows(batch).map(CSVText.row).joined())
        }
      } catch {
        failure = error
        return false
      }
      left -= 1
      return left > 0
    }
    if let failure { throw failure }
    connection.close()
    return .fine
  }
}

/// Batches of events, a line or a row for each event.
package enum EventText {
  /// - Parameter batch: `KvEventBatch`.
  package static func lines(_ batch: Message, style: Style = .plain) -> String {
    let head =
      StatsRows.clock(milliseconds(batch.real("timestamp")))
      + "  #\(batch.number("sequence_number"))  r\(batch.number("revision"))  "
    return batch.messages("events").map { event in
      guard let (kind, body) = event.member else { return head + "?\n" }
      let words = ([blocks(body), copy(body), fork(body)] + hashes(body) + [cause(body)])
        .filter { !$0.isEmpty }
      return head
        + style.paint(
          TextTable.padded(kind.replacing("_", with: " "), to: 14), color(of: kind))
        + "  " + words.joined(separator: "  ") + "\n"
    }.joined()
  }

  /// 0 for a time that is none.
  private static func milliseconds(_ seconds: Double) -> UInt64 {
    seconds > 0 && seconds < 1e12 ? UInt64(seconds * 1000) : 0
  }

  private static func color(of kind: String) -> Style.Color {
    switch kind {
    case "stored": .cached
    case "removed", "cleared": .bad
    case "moved", "copied": .pinned
    default: .shared
    }
  }

  package static let columns = [
    "sequence_number", "epoch", "pool", "revision", "timestamp", "kind", "block_ids",
    "block_hashes",
    "parent_block_hash", "cause", "sequence_id", "child_ids", "copy_id", "source_block",
    "target_block", "tokens",
  ]

  /// The cells of each event, under `columns`.
  package static func rows(_ batch: Message) -> [[String]] {
    let head = ["sequence_number", "epoch", "pool", "revision", "timestamp"].map { batch[$0].plain }
    return batch.messages("events").map { event in
      let (kind, body) = event.member ?? ("", event)
      let order = body.knows("copy") ? body.message("copy") : nil
      func cell(_ name: String) -> String { body.knows(name) ? body[name].plain : "" }
      func ordered(_ name: String) -> String { order.map { $0[name].plain } ?? "" }
      let hash = cell("block_hashes")
      return head + [
        kind, cell("block_ids"),
        hash.isEmpty ? cell("block_hash") : split(body).joined(separator: ";"),
        cell("parent_block_hash"), cell("cause") == "unspecified" ? "" : cell("cause"),
        order == nil ? cell("parent_id") : ordered("sequence_id"), cell("child_ids"),
        ordered("copy_id"), ordered("source_block"), ordered("target_block"), ordered("tokens"),
      ]
    }
  }

  // MARK: Parts, empty where a kind has none

  private static func blocks(_ body: Message) -> String {
    guard body.knows("block_ids") else { return "" }
    return "blocks " + SequencesText.stretches(of: body.numbers("block_ids")).joined(separator: " ")
  }

  private static func copy(_ body: Message) -> String {
    guard body.knows("copy"), let order = body.message("copy") else { return "" }
    func tier(_ field: String) -> String { order.word(field) == "host" ? "host " : "" }
    return "\(tier("source_tier"))\(order.number("source_block")) -> "
      + "\(tier("target_tier"))\(order.number("target_block")), \(order.number("tokens")) tokens, "
      + "sequence \(order.number("sequence_id")), copy \(order.number("copy_id"))"
  }

  private static func fork(_ body: Message) -> String {
    guard body.knows("child_ids") else { return "" }
    return "sequence \(body.number("parent_id")) -> "
      + body.numbers("child_ids").map { "\($0)" }.joined(separator: ", ")
  }

  private static func hashes(_ body: Message) -> [String] {
    if body.knows("block_hash") {
      let hash = body.bytes("block_hash")
      return hash.isEmpty ? [] : [Value.hexadecimal(Array(hash.prefix(6)))]
    }
    guard body.knows("block_hashes") else { return [] }
    var words = [split(body).map { String($0.prefix(12)) }.joined(separator: " ")]
    if body.knows("parent_block_hash"), !body.bytes("parent_block_hash").isEmpty {
      words.append("after " + Value.hexadecimal(Array(body.bytes("parent_block_hash").prefix(6))))
    }
    return words
  }

  private static func cause(_ body: Message) -> String {
    guard body.knows("cause"), body.code("cause") != 0 else { return "" }
    return "by " + body.word("cause")
  }

  /// The hashes of a list, one for each block, as hexadecimal.
  private static func split(_ body: Message) -> [String] {
    let bytes = body.bytes("block_hashes")
    let count = body.numbers("block_ids").count
    guard count > 0, bytes.count % count == 0, !bytes.isEmpty else {
      return bytes.isEmpty ? [] : [Value.hexadecimal(bytes)]
    }
    let width = bytes.count / count
    return stride(from: 0, to: bytes.count, by: width).map {
      Value.hexadecimal(Array(bytes[$0..<($0 + width)]))
    }
  }
}
