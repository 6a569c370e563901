import FoundationEssentials
import KVBlocks
import Testing

/// What vLLM 0.33.0's own `KVCacheManager` did, done again here: the same commands must give the same
/// tables, hits and refusals, and leave the same queue and the same contents, block id for block id.
///
/// What a pool does otherwise on purpose (`Exactness` in the documentation) is not in it, except that
/// a refusal is `never` here where vLLM only says no.
@Suite("a pool answers as vLLM did")
struct VLLMReplayTests {
  static let vectors = URL(filePath: #filePath).deletingLastPathComponent().path + "/Vectors/"

  @Test("to every command of a long random recording")
  func recording() throws {
    try replay(Self.vectors + "vllm-0.33.0.txt", atLeast: 9_000)
  }

  @Test("with a sliding window, to every command of another")
  func windowRecording() throws {
    try replay(Self.vectors + "vllm-0.33.0-window.txt", atLeast: 5_900)
  }

  /// For recordings too long to keep: `Vectors/vllm_oracle.py --output FILE`.
  @Test(
    "to every command of the recording that QUIRE_ORACLE names",
    .enabled(if: ProcessInfo.processInfo.environment["QUIRE_ORACLE"] != nil))
  func namedRecording() throws {
    try replay(ProcessInfo.processInfo.environment["QUIRE_ORACLE"] ?? "", atLeast: 1)
  }

  private func replay(_ path: String, atLeast: Int) throws {
    let recording = try VLLMRecording(path: path)
    var commands = 0
    for scenario in recording.scenarios {
      var replay = VLLMReplay(scenario.pool)
      for line in scenario.lines {
        commands += 1
        let problems = replay.run(line)
        for problem in problems { Issue.record("line \(line.number): \(problem)") }
        // What follows a difference differs as well.
        if !problems.isEmpty { return }
      }
    }
    #expect(commands >= atLeast)
  }
}

/// One recorded scenario on a pool.
struct VLLMReplay {
  let bench: Bench
  private let caches: Bool
  private let hasWindow: Bool
  private var queue: [BlockID] = []
  private var contents = ""
  private var problems: [String] = []

  init(_ pool: VLLMRecording.Line) {
    caches = pool["caching"] == 1
    hasWindow = pool["window"] > 0
    bench = Bench(
      PoolConfiguration(
        blocks: pool["blocks"], blockSize: pool["size"], copyAck: .explicit,
        cachesPrefixes: caches, eagle: pool["eagle"] == 1,
        watermark: pool.fields["watermark"].flatMap { Double($0) } ?? 0,
        maxModelTokens: pool["most"], slidingWindow: pool["window"],
        maxInFlightTokens: pool["in_flight"]))
  }

  /// Runs the command and returns how the answer differs from vLLM's.
  mutating func run(_ line: VLLMRecording.Line) -> [String] {
    problems = []
    perform(line)
    checkState(line)
    if let broken = bench.pool.checkInvariants() { problems.append(broken) }
    return problems
  }

  private mutating func perform(_ line: VLLMRecording.Line) {
    let hashes = caches ? line.hashes : []
    switch line.verb {
    case "add":
      stands(
        bench.run(
          .add(
            .init(id: line.id, tokens: line["tokens"], hashes: hashes, skips: line["skips"] == 1))))
    case "admit": admit(line)
    case "extend":
      let result = bench.run(
        .extend(
          Extend(
            sequence: line.id, appendTokens: line["append"], maxTokensNow: line["most"],
            lookaheadTokens: line["ahead"], reservedBlocks: line["reserved"],
            delaysCommit: line["delays"] == 1), hashes: hashes))
      if line.answer == "none" { return isRefused(result) }
      stands(result)
      let answer = line.answer.split(separator: " ", omittingEmptySubsequences: false)
      expect(result.newBlocks, numbers(answer[0]), "new blocks")
      if hasWindow { expect(bench.table(line.id), numbers(answer[1]), "table") }
    case "append":
      stands(bench.run(.append(line.id, line["tokens"], hashes: hashes)))
    case "decode": decode(line, hashes)
    case "free": stands(bench.run(.free([line.id])))
    case "preempt": stands(bench.run(.preempt([line.id])))
    case "commit":
      stands(bench.run(.commit(line.id, UInt32(line.words[1]) ?? 0)))
    case "lookup": lookup(line)
    case "evict":
      let result = bench.run(.evictBlocks(numbers(line.words[0])))
      stands(result)
      expect([result.affected], numbers(line.answer), "evicted")
    case "reset":
      let result = bench.run(.resetPrefixCache)
      expect([result.refusal == .none ? 1 : 0], numbers(line.answer), "whether the cache was reset")
    case "end": end(line)
    default: raw(line)
    }
  }

  private mutating func admit(_ line: VLLMRecording.Line) {
    let result = bench.run(
      .admit(
        .init(
          id: line.id, maxTokensNow: line["most"], lookahead: line["ahead"],
          partial: line["partial"] == 1, reserved: line["reserved"], delays: line["delays"] == 1,
          ignoresWatermark: line["ignores"] == 1, external: line["external"])))
    if line.answer == "none" { return isRefused(result) }
    stands(result)
    let answer = line.answer.split(separator: " ", omittingEmptySubsequences: false)
    if hasWindow {
      // What was found before the window may be handed out anew: the table alone tells what is what.
      let table: [BlockID] = numbers(answer[2])
      let nulls = Array(repeating: BlockID(0), count: Int(result.nulls))
      expect(bench.table(line.id), table, "table")
      expect(nulls + result.cached + result.newBlocks, table, "parts of the table")
      return
    }
    expect(result.newBlocks, numbers(answer[1]), "new blocks")
    expect(result.cached, numbers(answer[0]), "hits")
    expect(bench.table(line.id), numbers(answer[0]) + numbers(answer[1]), "table")
  }

  private mutating func decode(_ line: VLLMRecording.Line, _ hashes: [UInt64]) {
    let ids: [SequenceID] = numbers(line.words[0])
    let seen = bench.apply(
      TestCommand(
        onRefusal: line["preempts"] == 1 ? .preempt : .continue,
        operations: [
          TestOperation(
            .decode(
              .init(
                ids: ids, hashes: hashes,
                hashCounts: hashes.isEmpty ? [] : numbers(line.fields["counts"] ?? ""))))
        ]))
    let result = seen.results[0]
    let halves = line.answer.split(separator: "/", omittingEmptySubsequences: false)
    var refused: [UInt32] = []
    var new: [BlockID] = []
    var counts = [UInt32](repeating: 0, count: ids.count)
    for part in halves[0].split(separator: " ") {
      let pair = part.split(separator: ":")
      let index = ids.firstIndex(of: UInt64(pair[0]) ?? 0) ?? 0
      if pair[1] == "none" {
        refused.append(UInt32(index))
      } else {
        let given: [BlockID] = numbers(pair[1])
        new += given
        counts[index] = UInt32(given.count)
      }
    }
    expect(result.newBlocks, new, "new blocks")
    expect(result.counts, new.isEmpty ? [] : counts, "new blocks of each")
    expect(result.refused, refused, "refused")
    expect(result.preempted, numbers(halves[1]), "preempted")
  }

  private mutating func lookup(_ line: VLLMRecording.Line) {
    var list = FlatList<BlockID>()
    let found = bench.pool.lookup(session: 0, sequence: line.id, into: &list)
    let answer = line.answer.split(separator: " ", omittingEmptySubsequences: false)
    expect([found?.cachedTokens ?? .max], numbers(answer[0]), "tokens found")
    let nulls = Array(repeating: BlockID(0), count: Int(found?.nullBlocks ?? 0))
    expect(nulls + Array(list.elements), numbers(answer[1]), "blocks found")
  }

  private mutating func raw(_ line: VLLMRecording.Line) {
    switch line.verb {
    case "allocate":
      let result = bench.run(.allocate(UInt32(line.words[0]) ?? 0))
      if line.answer == "none" { return isRefused(result) }
      expect(result.newBlocks, numbers(line.answer), "new blocks")
    case "freeraw": stands(bench.run(.freeBlocks(numbers(line.words[0]))))
    case "forkraw": stands(bench.run(.forkBlocks(numbers(line.words[0]))))
    case "cacheraw":
      stands(bench.run(.cacheBlocks(numbers(line.words[0]), numbers(line.words[1]))))
    case "acquire":
      let count = UInt32(line.words[1]) ?? 0
      let result = bench.run(.acquire(numbers(line.words[0]), count))
      if line.answer == "none" { return isRefused(result) }
      stands(result)
      let answer = line.answer.split(separator: " ", omittingEmptySubsequences: false)
      expect(result.cached, numbers(answer[0]), "hits")
      expect(result.newBlocks, numbers(answer[1]), "new blocks")
    default: problems.append("an unknown command: \(line.verb)")
    }
  }

  /// vLLM's counters: tokens asked for and found, those of preempted requests apart.
  private mutating func end(_ line: VLLMRecording.Line) {
    if !caches { return }
    let stats = bench.pool.stats()
    let counters = [
      stats.prefixQueryTokens, stats.prefixHitTokens, stats.preemptedQueryTokens,
      stats.preemptedHitTokens,
    ]
    expect(counters, line.words.map { UInt64($0) ?? 0 }, "tokens asked for and found")
  }

  private mutating func checkState(_ line: VLLMRecording.Line) {
    if !line.state.isEmpty {
      let parts = line.state.split(separator: " ", omittingEmptySubsequences: false)
      queue = numbers(parts[0])
      contents = "\(parts[1]) \(parts[2])"
    }
    expect(bench.queue, queue, "queue")
    let stats = bench.pool.stats()
    expect([stats.free + stats.cached], [UInt32(queue.count)], "available")
    expect([describeContents()], [contents], "contents")
  }

  /// Every content with the blocks that have it, first survivor first, as the recording sums it up.
  private func describeContents() -> String {
    var rings: [UInt64: [BlockID]] = [:]
    for id in 1...bench.pool.configuration.blocks {
      if let content = bench.pool.content(id), rings[content.words.0] == nil {
        rings[content.words.0] = bench.pool.twins(of: id)
      }
    }
    let text = rings.keys.sorted().map { hash in
      "\(hash):" + (rings[hash] ?? []).map(String.init).joined(separator: ",")
    }
    return "\(rings.count) \(String(crc32(text.joined(separator: ";")), radix: 16))"
  }

  // MARK: Comparing

  private mutating func stands(_ result: Seen.Result) {
    if result.refusal != .none { problems.append("vLLM does it, refused here: \(result.refusal)") }
  }

  private mutating func isRefused(_ result: Seen.Result) {
    if result.refusal.reason != .later && result.refusal.reason != .never {
      problems.append("vLLM says no, here: \(result)")
    }
  }

  private mutating func expect<T: Equatable>(_ found: [T], _ expected: [T], _ what: String) {
    if found != expected { problems.append("\(what) \(found), vLLM's \(expected)") }
  }
}
