internal import ForeignText
internal import ToolSupport

extension CommandSpec {
  static let sequences = CommandSpec(
    name: "sequences", summary: "the sequences of a pool and what they hold",
    operands: "[ID]", mostOperands: 1,
    options: [
      OptionSpec(
        "--state", "STATE", .choice(["waiting", "running", "preempted", "swapped", "reserved"]),
        "only sequences in this state"),
      OptionSpec(
        "--sort", "KEY", .choice(SequenceOrder.allCases.map(\.rawValue)),
        "id, tokens, blocks, shared, runs, preemptions or priority; all but id from the largest "
          + "(default: the server's order)"),
      OptionSpec("--limit", "N", .whole(1...1_000_000_000), "only the first N"),
      OptionSpec(
        "--owners", .flag,
        "instead: who holds most, by session and label, now and over the last two hours or --since"),
      OptionSpec(
        "--since", "S", .number(1...86_400), "with --owners: the last S seconds (default: 7200)"),
    ],
    notes: """
      BLOCKS is what the table holds, SHARED how many of these others hold, too, RUNS how many
      stretches of adjacent blocks it takes: the copies a transfer would need. With an ID, its table
      as well. With --owners, HELD IDLE is for how long an owner was seen to hold blocks with nothing
      running, GREW by how many blocks since: what a leak looks like. Over time the server keeps the
      eight that hold most at each look.
      """,
    examples: [
      "sequences --state running --sort blocks --limit 20", "sequences 42",
      "sequences --csv > sequences.csv", "sequences --owners --since 600",
    ],
    check: { invocation throws(UsageError) in
      if let id = invocation.operands.first, UInt64(id) == nil {
        throw UsageError("'\(id)' is no sequence id; expected a whole number")
      }
      if invocation.has("--owners") {
        if !invocation.operands.isEmpty { throw UsageError("--owners and an ID are two questions") }
        for option in ["--state", "--sort"] where invocation.has(option) {
          throw UsageError("\(option) is for sequences, not for --owners")
        }
      } else if invocation.has("--since") {
        throw UsageError("--since needs --owners")
      }
    })
}

/// What a list of sequences is sorted by.
enum SequenceOrder: String, CaseIterable {
  case id, tokens, blocks, shared, runs, preemptions, priority

  /// Of equals the lower id first.
  func sorted(_ sequences: [Message]) -> [Message] {
    // In parts: as one expression it takes the compiler seconds.
    var keyed = sequences.map { (key: key($0), id: $0.number("sequence_id"), sequence: $0) }
    keyed.sort { one, other in
      if self == .id || one.key == other.key { return one.id < other.id }
      return one.key > other.key
    }
    return keyed.map(\.sequence)
  }

  private func key(_ sequence: Message) -> Int64 {
    switch self {
    case .id: 0
    case .tokens: Int64(sequence.number("tokens"))
    case .blocks: Int64(SequencesText.blocks(sequence))
    case .shared: Int64(sequence.number("shared_blocks"))
    case .runs: Int64(sequence.number("runs"))
    case .preemptions: Int64(sequence.number("preemptions"))
    case .priority: sequence.signed("priority")
    }
  }
}

extension Command {
  func sequences() throws(Failure) -> ExitCode {
    let connection = try connect()
    if invocation.has("--owners") {
      try owners(connection)
    } else if let operand = invocation.operands.first, let id = UInt64(operand) {
      var request = connection.request("GetSequenceRequest")
      request.set("sequence_id", id)
      let sequence = try connection.call("Sequences/Get", request, reply: "Sequence")
      if invocation.format == .text {
        try terminal.write(SequencesText.renderOne(sequence, style: terminal.style))
      } else {
        try write(sequence, isFirst: true)
      }
    } else {
      var sequences = try connection.sequences(
        state: invocation.text("--state").map(SequencesText.code) ?? 0
      ).sequences
      if let order = invocation.text("--sort").flatMap(SequenceOrder.init) {
        sequences = order.sorted(sequences)
      }
      if let limit = invocation.whole("--limit") { sequences = Array(sequences.prefix(Int(limit))) }
      if invocation.format == .text {
        try terminal.write(SequencesText.render(sequences, style: terminal.style))
      } else {
        try write(sequences, of: "Sequence")
      }
    }
    connection.close()
    return .fine
  }
}

extension Connection {
  /// All of them, or those in a state, without their tables. Fetching ends with the page that reaches
  /// `most`; `hasMore` says whether there are more.
  func sequences(
    state: UInt64 = 0, atMost most: Int = .max
  ) throws(Failure) -> (sequences: [Message], hasMore: Bool) {
    var sequences: [Message] = []
    var request = request("ListSequencesRequest")
    request.set("page_size", 1000)
    request.set("state", state)
    while true {
      let page = try call("Sequences/List", request, reply: "ListSequencesReply")
      sequences += page.messages("sequences")
      let token = page.text("next_page_token")
      if token.isEmpty { return (sequences, false) }
      if sequences.count >= most { return (sequences, true) }
      request.set("page_token", token)
    }
  }
}

package enum SequencesText {
  static func code(_ state: String) -> UInt64 {
    switch state {
    case "waiting": 1
    case "running": 2
    case "preempted": 3
    case "swapped": 4
    default: 5
    }
  }

  static func blocks(_ sequence: Message) -> UInt64 {
    sequence.number("exclusive_blocks") + sequence.number("shared_blocks")
  }

  /// Under so many columns some of the table are left out.
  static let narrow = 96

  /// - Parameter isNarrow: Without the columns that 80 columns have no room for.
  static func table(_ sequences: [Message], isNarrow: Bool = false) -> TextTable {
    var columns: [(String, TextTable.Alignment)] = [
      ("SEQUENCE", .right), ("STATE", .left), ("TOKENS", .right), ("BLOCKS", .right),
      ("SHARED", .right), ("RUNS", .right), ("PREEMPT", .right),
    ]
    if !isNarrow { columns += [("COMPUTED", .right), ("PRIORITY", .right)] }
    var table = TextTable(columns + [("LABEL", .left)])
    for sequence in sequences {
      var cells = [
        "\(sequence.number("sequence_id"))", sequence.word("state"),
        "\(sequence.number("tokens"))", "\(blocks(sequence))",
        "\(sequence.number("shared_blocks"))", "\(sequence.number("runs"))",
        "\(sequence.number("preemptions"))",
      ]
      if !isNarrow {
        cells += ["\(sequence.number("computed_tokens"))", "\(sequence.signed("priority"))"]
      }
      table.row(cells + [ForeignText.printable(sequence.text("label"))])
    }
    return table
  }

  package static func render(_ sequences: [Message], style: Style = .plain) -> String {
    guard !sequences.isEmpty else { return "no sequences\n" }
    var lines = table(sequences, isNarrow: style.width < narrow).lines()
    lines[0] = style.paint(lines[0], .strong)
    return lines.joined(separator: "\n") + "\n"
  }

  /// One sequence with its table.
  package static func renderOne(_ sequence: Message, style: Style = .plain) -> String {
    var lines = table([sequence], isNarrow: style.width < narrow).lines()
    lines[0] = style.paint(lines[0], .strong)
    let table = sequence.numbers("block_ids")
    if !table.isEmpty {
      lines.append("")
      lines.append(
        style.paint("Table", .strong) + "  \(table.count) entries, adjacent blocks as first-last; "
          + "- is the null block")
      lines += wrapped(stretches(of: table), width: max(40, style.width - 2)).map { "  " + $0 }
    }
    if sequence.number("reserved_blocks") > 0 {
      lines.append("\(sequence.number("reserved_blocks")) blocks are promised to it")
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// `[3, 4, 5, 9, 0, 0]` to `3-5 9 -x2`.
  static func stretches(of table: [UInt64]) -> [String] {
    var words: [String] = []
    var start = 0
    while start < table.count {
      var end = start
      let isNull = table[start] == 0
      while end + 1 < table.count, table[end + 1] == (isNull ? 0 : table[end] + 1) { end += 1 }
      let count = end - start + 1
      if isNull {
        words.append(count == 1 ? "-" : "-x\(count)")
      } else {
        words.append(count == 1 ? "\(table[start])" : "\(table[start])-\(table[end])")
      }
      start = end + 1
    }
    return words
  }

  private static func wrapped(_ words: [String], width: Int) -> [String] {
    var lines: [String] = []
    var line = ""
    for word in words {
      if !line.isEmpty, line.count + 1 + word.count > width {
        lines.append(line)
        line = ""
      }
      line += (line.isEmpty ? "" : " ") + word
    }
    return lines + [line]
  }
}
