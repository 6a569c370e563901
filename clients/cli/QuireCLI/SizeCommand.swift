internal import Analysis
package import ToolSupport
internal import Workloads

extension CommandSpec {
  private static let sizes: ClosedRange<UInt64> = 1...(1 << 53)

  static let size = CommandSpec(
    name: "size",
    summary: "the calculator: how many blocks fit, what lengths waste, which block size is best",
    options: [
      OptionSpec(
        "--model", "NAME", .choice(KnownModel.all.map(\.name)),
        "the geometry of a model: \(KnownModel.all.map(\.name).joined(separator: ", "))"),
      OptionSpec("--layers", "N", .whole(1...10_000), "layers, instead of a model"),
      OptionSpec("--kv-heads", "N", .whole(1...10_000), "KV heads of a layer"),
      OptionSpec("--head-size", "N", .whole(1...65_535), "elements of a head"),
      OptionSpec("--dtype-bytes", "N", .whole(1...16), "bytes of an element (default: 2)"),
      OptionSpec(
        "--card", "SIZE", .bytes(sizes),
        "memory of the card: the KV cache gets the share --utilization less weights and activations"
      ),
      OptionSpec("--weights", "SIZE", .bytes(0...(1 << 53)), "bytes of the model's weights"),
      OptionSpec(
        "--activations", "SIZE", .bytes(0...(1 << 53)), "bytes that a forward pass needs beside"),
      OptionSpec(
        "--kv-bytes", "SIZE", .bytes(sizes),
        "instead of --card: memory set aside for KV, of which the share --utilization is used"),
      OptionSpec(
        "--utilization", "U", .number(0.01...1),
        "the share of the memory that is used (default: 0.9)"),
      OptionSpec("--blocks", "N", .whole(1...(1 << 31)), "so many blocks, instead of bytes"),
      OptionSpec("--block-size", "B", .whole(1...65_535), "tokens of a block (default: 16)"),
      OptionSpec(
        "--lengths", "N,N...", .wholes(1...(1 << 32)), "tokens of the sequences to hold"),
      OptionSpec(
        "--trace", "FILE", .text,
        "their lengths from a trace as quire-load reads it: prompt and answer, less the last token, "
          + "which is never fed back"),
      OptionSpec(
        "--max-model-tokens", "N", .whole(1...(1 << 32)),
        "what reserving for the longest would hold for each (default: the longest of them)"),
      OptionSpec(
        "--metadata-bytes", "N", .whole(0...1_000_000),
        "bytes that a block costs beside its KV (default: 72: a record of 64, a table entry of 8)"),
    ],
    hasServer: false, hasPool: false,
    notes: """
      Needs no server. A token takes 2 x layers x KV heads x head size x bytes of an element. Without
      lengths it says what fits; with lengths also what they waste in blocks of several sizes. Without
      a cost of metadata the smallest block would always win: both answers are printed.
      """,
    examples: [
      "size --model llama-3-8b --card 80GiB --weights 16GB",
      "size --model llama-2-7b --kv-bytes 60GiB --lengths 512,1024,256,1800 --max-model-tokens 2048",
      "size --blocks 4096 --trace clients/load/Traces/demo.jsonl",
      "size --model llama-3-70b --kv-bytes 40GiB --trace trace.jsonl --csv",
    ],
    check: { invocation throws(UsageError) in
      _ = try SizeQuestion(invocation)
    })
}

/// Shapes of models that many people serve, from their published configurations.
struct KnownModel: Sendable {
  var name: String
  var geometry: TokenGeometry

  init(_ name: String, _ layers: UInt64, _ kvHeads: UInt64, _ headSize: UInt64) {
    self.name = name
    geometry = TokenGeometry(layers: layers, kvHeads: kvHeads, headSize: headSize, dtypeBytes: 2)
  }

  static let all: [KnownModel] = [
    KnownModel("llama-2-7b", 32, 32, 128), KnownModel("llama-2-13b", 40, 40, 128),
    KnownModel("llama-2-70b", 80, 8, 128), KnownModel("llama-3-8b", 32, 8, 128),
    KnownModel("llama-3-70b", 80, 8, 128), KnownModel("llama-3.1-405b", 126, 8, 128),
    KnownModel("mistral-7b", 32, 8, 128), KnownModel("mixtral-8x7b", 32, 8, 128),
    KnownModel("qwen2.5-7b", 28, 4, 128), KnownModel("qwen2.5-32b", 64, 8, 128),
    KnownModel("qwen2.5-72b", 80, 8, 128), KnownModel("gemma-2-9b", 42, 8, 256),
    KnownModel("opt-13b", 40, 40, 128),
  ]
}

/// What the model makes of a token.
package struct TokenGeometry: Equatable, Sendable {
  package var layers: UInt64
  package var kvHeads: UInt64
  package var headSize: UInt64
  package var dtypeBytes: UInt64

  package init(layers: UInt64, kvHeads: UInt64, headSize: UInt64, dtypeBytes: UInt64) {
    self.layers = layers
    self.kvHeads = kvHeads
    self.headSize = headSize
    self.dtypeBytes = dtypeBytes
  }

  /// Keys and values: 2 x layers x KV heads x head size x bytes.
  package var tokenBytes: UInt64 { 2 * layers * kvHeads * headSize * dtypeBytes }
}

/// What the calculator is asked.
package struct SizeQuestion: Equatable, Sendable {
  package enum Memory: Equatable, Sendable {
    case unknown
    case blocks(UInt64)
    /// Set aside for KV; the share `utilization` is used.
    case kvBytes(UInt64)
    /// Of the whole card; weights and activations come out of the share `utilization`.
    case card(UInt64, weights: UInt64, activations: UInt64)
  }

  package var memory = Memory.unknown
  package var geometry: TokenGeometry?
  package var utilization = 0.9
  package var blockSize: UInt32 = 16
  /// Tokens of each sequence.
  package var lengths: [UInt64] = []
  /// nil = the longest of `lengths`.
  package var maxModelTokens: UInt64?
  package var metadataBytes: UInt64 = 72

  package init() {}

  /// Lengths in a trace are read later.
  package init(_ invocation: Invocation) throws(UsageError) {
    geometry = try Self.geometry(invocation)
    utilization = invocation.number("--utilization") ?? 0.9
    blockSize = UInt32(invocation.whole("--block-size") ?? 16)
    metadataBytes = invocation.whole("--metadata-bytes") ?? 72
    maxModelTokens = invocation.whole("--max-model-tokens")
    lengths = invocation.wholes("--lengths") ?? []
    if invocation.has("--lengths"), invocation.has("--trace") {
      throw UsageError("--lengths and --trace both say how long sequences are; give one")
    }
    let ways = ["--card", "--kv-bytes", "--blocks"].filter(invocation.has)
    if ways.count > 1 { throw UsageError("\(ways[0]) and \(ways[1]) both size the pool; give one") }
    if !invocation.has("--card") {
      for option in ["--weights", "--activations"] where invocation.has(option) {
        throw UsageError("\(option) needs --card")
      }
    }
    if let blocks = invocation.whole("--blocks") {
      memory = .blocks(blocks)
    } else if let bytes = invocation.whole("--kv-bytes") {
      memory = .kvBytes(bytes)
    } else if let bytes = invocation.whole("--card") {
      memory = .card(
        bytes, weights: invocation.whole("--weights") ?? 0,
        activations: invocation.whole("--activations") ?? 0)
    }
    if geometry == nil, let way = ways.first, way != "--blocks" {
      throw UsageError(
        "\(way) needs a geometry: --model, or --layers, --kv-heads and --head-size")
    }
    if ways.isEmpty, lengths.isEmpty, !invocation.has("--trace") {
      throw UsageError("nothing to calculate: give --card, --kv-bytes or --blocks, or lengths")
    }
    try check()
  }

  private static func geometry(_ invocation: Invocation) throws(UsageError) -> TokenGeometry? {
    let names = ["--layers", "--kv-heads", "--head-size"]
    let given = names.filter(invocation.has)
    let bytes = invocation.whole("--dtype-bytes")
    if let name = invocation.text("--model") {
      if let other = given.first { throw UsageError("--model and \(other) both say it; give one") }
      var geometry = KnownModel.all.first { $0.name == name }?.geometry
      if let bytes { geometry?.dtypeBytes = bytes }
      return geometry
    }
    if given.isEmpty {
      if bytes != nil { throw UsageError("--dtype-bytes needs a geometry") }
      return nil
    }
    guard let layers = invocation.whole("--layers"), let heads = invocation.whole("--kv-heads"),
      let size = invocation.whole("--head-size")
    else {
      let missing = names.first { !given.contains($0) }!
      throw UsageError("\(missing) is missing: a geometry is layers, KV heads and head size")
    }
    return TokenGeometry(
      layers: layers, kvHeads: heads, headSize: size, dtypeBytes: bytes ?? 2)
  }

  /// Lengths that are known agree with the longest there may be.
  package func check() throws(UsageError) {
    if let most = maxModelTokens, let longest = lengths.max(), longest > most {
      throw UsageError("--max-model-tokens is \(most), and a sequence has \(longest) tokens")
    }
  }
}

extension Command {
  func size() throws(Failure) -> ExitCode {
    do throws(UsageError) {
      var question = try SizeQuestion(invocation)
      if let path = invocation.text("--trace") {
        do throws(TraceError) {
          question.lengths = try RequestPlan.trace(path: path).requests.map {
            UInt64($0.inputTokens) + UInt64($0.outputTokens) - 1
          }
        } catch {
          throw UsageError("\(error)")
        }
        try question.check()
      }
      let answer = SizeAnswer(question)
      try write(answer)
      return .fine
    } catch {
      throw Failure(.usage, "\(error)")
    }
  }

  private func write(_ answer: SizeAnswer) throws(UsageError) {
    let text =
      switch invocation.format {
      case .text: answer.text(style: terminal.style)
      case .json: answer.json
      case .csv: answer.csv
      }
    do throws(Failure) {
      try terminal.write(text)
    } catch {
      throw UsageError(error.message)
    }
  }
}
