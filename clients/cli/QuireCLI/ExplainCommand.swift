internal import ToolSupport

extension CommandSpec {
  static let explain = CommandSpec(
    name: "explain",
    summary: "what happened to a block, or why a prefix is hit up to there and no further",
    operands: "block ID | prefix", mostOperands: 2,
    options: [
      OptionSpec(
        "--incidents", "N", .whole(1...10_000), "of a block: only the newest N (default: 100)"),
      OptionSpec(
        "--tokens", "N,N...", .wholes(0...TokenFile.largest), "the prefix, by its token ids"),
      OptionSpec(
        "--tokens-file", "FILE", .text,
        "the same from a file, with commas, spaces or newlines between them, in brackets or not"),
      OptionSpec(
        "--sequence", "ID", .whole(0...UInt64.max), "the prefix: what this sequence consists of"),
      OptionSpec(
        "--salt", "SALT", .text, "with --tokens or --tokens-file: the salt they are hashed with"),
      OptionSpec(
        "--lora", "NAME", .text, "with --tokens or --tokens-file: the adapter they are hashed with"),
    ],
    notes: """
      The conclusion comes first, then what it rests on: for a block who holds it and what happened to
      it, the newest last, for a prefix the blocks that hit and when those that miss were evicted, why
      and for whom. Nothing is taken or touched. Unless the server says otherwise (quired
      --block-history) it remembers from the first question about a pool on, so ask twice. --csv has a
      row for each incident, or for each step of the lookup.
      """,
    examples: [
      "explain block 17", "explain block 17 --incidents 5 --csv", "explain prefix --sequence 42",
      "explain prefix --tokens 1,2,3,4,5,6,7,8 --salt tenant-7",
      "explain prefix --tokens-file prompt.json --json",
    ],
    check: { invocation throws(UsageError) in
      let ways = ["--tokens", "--tokens-file", "--sequence"]
      let operands = invocation.operands
      switch operands.first {
      case "block":
        guard operands.count == 2 else { throw UsageError("explain block needs the block's id") }
        guard let id = UInt64(operands[1]), id > 0, id <= UInt64(UInt32.max) else {
          throw UsageError("'\(operands[1])' is no block id; expected a whole number from 1")
        }
        for option in ways + ["--salt", "--lora"] where invocation.has(option) {
          throw UsageError("\(option) is for explain prefix")
        }
      case "prefix":
        if operands.count > 1 {
          throw UsageError("\(operands[1]): explain prefix takes no such argument")
        }
        if invocation.has("--incidents") { throw UsageError("--incidents is for explain block") }
        let given = ways.filter { invocation.has($0) }
        guard given.count == 1 else {
          throw UsageError(
            given.isEmpty
              ? "explain prefix needs --tokens, --tokens-file or --sequence"
              : "\(given.joined(separator: " and ")) are two prefixes; give one")
        }
        for option in ["--salt", "--lora"]
        where invocation.has(option) && invocation.has("--sequence") {
          throw UsageError("\(option) needs --tokens or --tokens-file; a sequence has its own")
        }
      case let word?:
        throw UsageError(
          "explain explains block or prefix, not '\(word)'"
            + Suggestion.hint(for: word, among: ["block", "prefix"]))
      case nil: throw UsageError("what is to be explained? expected block ID or prefix")
      }
    })
}

extension Command {
  func explain() throws(Failure) -> ExitCode {
    if invocation.operands.first == "block" {
      try explainBlock(UInt64(invocation.operands[1]) ?? 0)
    } else {
      try explainPrefix()
    }
    return .fine
  }

  private func explainBlock(_ id: UInt64) throws(Failure) {
    let connection = try connect()
    var request = connection.request("ExplainBlockRequest")
    request.set("block_id", id)
    request.set("max_incidents", invocation.whole("--incidents") ?? 0)
    let reply = try connection.call("Analyzer/ExplainBlock", request, reply: "ExplainBlockReply")
    switch invocation.format {
    case .text: try terminal.write(ExplainText.block(reply, style: terminal.style))
    case .json: try terminal.write(reply.json + "\n")
    case .csv: try write(reply.messages("incidents"), of: "BlockIncident")
    }
    connection.close()
  }

  private func explainPrefix() throws(Failure) {
    var lookup = Message("Lookup")
    if let id = invocation.whole("--sequence") {
      lookup.set("sequence_id", id)
    } else {
      var content = Message("Content")
      content.set(
        "token_ids",
        list: try invocation.text("--tokens-file").map { path throws(Failure) in
          try TokenFile.read(path)
        } ?? invocation.wholes("--tokens") ?? [])
      lookup.set("content", content)
      if invocation.has("--salt") || invocation.has("--lora") {
        var options = Message("SequenceOptions")
        options.set("cache_salt", invocation.text("--salt") ?? "")
        options.set("lora_name", invocation.text("--lora") ?? "")
        lookup.set("options", options)
      }
    }
    let connection = try connect()
    var request = connection.request("LookupRequest")
    request.set("lookup", lookup)
    let reply = try connection.call("Analyzer/ExplainLookup", request, reply: "ExplainLookupReply")
    switch invocation.format {
    case .text: try terminal.write(ExplainText.prefix(reply, style: terminal.style))
    case .json: try terminal.write(reply.json + "\n")
    case .csv: try write(reply.messages("steps"), of: "LookupStep")
    }
    connection.close()
  }
}
