internal import ToolSupport
internal import Workloads

extension CommandSpec {
  static let whatIf = CommandSpec(
    name: "what-if",
    summary: "what the same load would take of the pool, were it made otherwise",
    options: [
      OptionSpec(
        "--trace", "FILE", .text,
        "play this trace, in a format that quire-load reads, into a pool of its own for each row"),
      OptionSpec(
        "--lengths", "N,N...", .wholes(1...(1 << 31)),
        "without a trace: these lengths in tokens (default: those of the pool's sequences)"),
      OptionSpec("--block-sizes", "N,N...", .wholes(1...65_536), "tokens of a block to try"),
      OptionSpec("--pool-blocks", "N,N...", .wholes(1...(1 << 28)), "blocks of the pool to try"),
      OptionSpec(
        "--strategies", "WORD,...", .text,
        "to try, of \(WhatIfQuestion.strategies.joined(separator: ", "))"),
      OptionSpec(
        "--evictions", "WORD,...", .text,
        "with --trace: to try, of \(WhatIfQuestion.evictions.joined(separator: ", "))"),
      OptionSpec("--watermarks", "X,X...", .text, "shares of the pool to try, 0 to less than 1"),
      OptionSpec("--limit", "N", .whole(1...100_000), "with --trace: only its first N requests"),
      OptionSpec(
        "--speed", "X", .number(0.001...1_000_000),
        "with --trace: arrivals X times as fast, steps as they are (default: 1)"),
      OptionSpec(
        "--step-ms", "X", .number(0.001...3_600_000),
        "with --trace: from one token to the next (default: 30)"),
      OptionSpec(
        "--dequantise", .flag,
        "with --trace: spread requests that share an instant over the tick that begins there"),
      OptionSpec("--seed", "N", .whole(0...UInt64.max), "with --dequantise (default: 42)"),
      OptionSpec(
        "--content-tokens", "N", .whole(1...1_048_576),
        "with --trace: tokens that one of its hash ids names (default: 512)"),
      OptionSpec(
        "--prompts-only", .flag,
        "with --trace: the cache alone, one prompt at a time, without times and answers"),
    ],
    notes: """
      Each row is the pool as it is with one thing changed. Without a trace it is arithmetic: what the
      lengths take all at once, when nothing is shared. With one, the server plays it into a fresh pool
      for each row, as quire-load would, in pieces beside its calls; the pool itself is only looked at.
      HIT is the share of prompt tokens found at the first admission; BLOCKS, WASTED and BATCH are means
      while anything ran; WAIT is from arrival to admission, on average.
      """,
    examples: [
      "what-if", "what-if --block-sizes 8,16,32 --watermarks 0,0.02,0.1",
      "what-if --lengths 512,1024,256 --strategies free-queue,contiguous-max",
      "what-if --trace clients/load/Traces/demo.jsonl --pool-blocks 1024,2048,4096",
      "what-if --trace trace.jsonl --evictions lru,lfu,s3-fifo --csv",
    ],
    check: { invocation throws(UsageError) in _ = try WhatIfQuestion(invocation) })
}

/// What is asked, apart from the trace's own lines.
struct WhatIfQuestion {
  /// By their values in the contract, less 1.
  static let strategies = [
    "free-queue", "first-fit", "best-fit", "buddy", "contiguous-max", "contiguous-power-of-two",
    "contiguous-exact",
  ]
  static let evictions = ["lru", "lfu", "s3-fifo", "priority"]

  private(set) var chosenStrategies: [UInt64] = []
  private(set) var chosenEvictions: [UInt64] = []
  private(set) var watermarks: [Double] = []

  init(_ invocation: Invocation) throws(UsageError) {
    chosenStrategies = try Self.choices(invocation, "--strategies", Self.strategies)
    chosenEvictions = try Self.choices(invocation, "--evictions", Self.evictions)
    for part in Self.parts(invocation, "--watermarks") {
      guard let share = Double(part), share >= 0, share < 1 else {
        throw UsageError(
          "--watermarks has '\(part)'; expected shares from 0 to less than 1, with commas between")
      }
      watermarks.append(share)
    }
    let ofTrace = [
      "--evictions", "--limit", "--speed", "--step-ms", "--dequantise", "--content-tokens",
      "--prompts-only",
    ]
    if invocation.has("--trace") {
      if invocation.has("--lengths") {
        throw UsageError("--trace and --lengths are two loads; give one")
      }
    } else if let option = ofTrace.first(where: { invocation.has($0) }) {
      throw UsageError("\(option) needs --trace")
    }
    if invocation.has("--seed"), !invocation.has("--dequantise") {
      throw UsageError("--seed needs --dequantise")
    }
    if invocation.has("--prompts-only") {
      for option in ["--speed", "--step-ms", "--dequantise"] where invocation.has(option) {
        throw UsageError("\(option) and --prompts-only: there is no time without answers")
      }
    }
  }

  private static func parts(_ invocation: Invocation, _ option: String) -> [String] {
    invocation.text(option).map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    } ?? []
  }

  private static func choices(
    _ invocation: Invocation, _ option: String, _ words: [String]
  ) throws(UsageError) -> [UInt64] {
    var chosen: [UInt64] = []
    for part in parts(invocation, option) {
      guard let place = words.firstIndex(of: part) else {
        throw UsageError(
          "\(option) has '\(part)'; expected \(words.joined(separator: ", "))"
            + Suggestion.hint(for: part, among: words))
      }
      chosen.append(UInt64(place) + 1)
    }
    return chosen
  }
}

extension Command {
  func whatIf() throws(Failure) -> ExitCode {
    let connection = try connect()
    var request = connection.request("WhatIfRequest")
    do throws(UsageError) {
      let question = try WhatIfQuestion(invocation)
      request.set("strategies", list: question.chosenStrategies)
      request.set("evictions", list: question.chosenEvictions)
      request["watermarks"] = .list(question.watermarks.map { .real($0) })
    } catch {
      throw Failure(.usage, "\(error)")
    }
    request.set("lengths", list: invocation.wholes("--lengths") ?? [])
    request.set("block_sizes", list: invocation.wholes("--block-sizes") ?? [])
    request.set("pool_blocks", list: invocation.wholes("--pool-blocks") ?? [])
    if let path = invocation.text("--trace") { request.set("trace", try trace(path)) }
    // A trace of a day takes a while.
    connection.timeout = 3_600_000_000_000
    let reply = try connection.call("Analyzer/WhatIf", request, reply: "WhatIfReply")
    switch invocation.format {
    case .text: try terminal.write(WhatIfText.render(reply, style: terminal.style))
    case .json: try terminal.write(reply.json + "\n")
    case .csv: try write(reply.messages("rows"), of: "WhatIfRow")
    }
    connection.close()
    return .fine
  }

  private func trace(_ path: String) throws(Failure) -> Message {
    var plan: RequestPlan
    do throws(TraceError) {
      plan = try RequestPlan.trace(
        path: path, limit: invocation.whole("--limit").map { Int($0) } ?? .max)
    } catch {
      throw Failure(.usage, "--trace: \(error)")
    }
    if invocation.has("--dequantise") { plan.dequantise(seed: invocation.whole("--seed") ?? 42) }
    let speed = invocation.number("--speed") ?? 1
    var trace = Message("WhatIfTrace")
    trace.set(
      "arrival_us",
      list: plan.requests.map { UInt64(Double($0.arrivalNanoseconds) / 1_000 / speed) })
    trace.set("input_tokens", list: plan.requests.map { UInt64($0.inputTokens) })
    trace.set("output_tokens", list: plan.requests.map { UInt64($0.outputTokens) })
    if !plan.hashIDs.isEmpty {
      trace.set("content_counts", list: plan.requests.map { UInt64(plan.hashIDs(of: $0).count) })
      trace.set("content_ids", list: plan.hashIDs)
    }
    trace.set("content_tokens", invocation.whole("--content-tokens") ?? 0)
    trace.set("step_us", UInt64(((invocation.number("--step-ms") ?? 0) * 1_000).rounded()))
    trace.set("prompts_only", invocation.has("--prompts-only"))
    return trace
  }
}
