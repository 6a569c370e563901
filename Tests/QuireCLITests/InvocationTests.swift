import QuireCLI
import Testing
import ToolSupport

private func parse(
  _ line: String, _ environment: [String: String] = [:]
) -> Result<Request, UsageError> {
  do throws(UsageError) {
    return .success(
      try Invocation.parse(line.split(separator: " ").map(String.init), environment: environment))
  } catch {
    return .failure(error)
  }
}

private func invocation(
  _ line: String, _ environment: [String: String] = [:]
) throws -> Invocation {
  guard case .run(let invocation) = try parse(line, environment).get() else {
    throw UsageError("no command to run")
  }
  return invocation
}

private func problem(_ line: String) -> String? {
  if case .failure(let error) = parse(line) { error.description } else { nil }
}

@Suite("the command line of quire")
struct InvocationTests {
  @Test("a full line is taken as it is written")
  func fullLine() throws {
    let taken = try invocation(
      "stats --target unix:/q.sock --pool=tight --watch 0.5 --count 3 --csv --no-color")
    #expect(taken.command == "stats")
    #expect(taken.server.target == "unix:/q.sock")
    #expect(taken.server.pool == "tight")
    #expect(taken.number("--watch") == 0.5)
    #expect(taken.whole("--count") == 3)
    #expect(taken.format == .csv)
    #expect(taken.hasNoColor)
  }

  @Test("the environment stands for what is not given, and defaults for the rest")
  func environment() throws {
    #expect(try invocation("pools").server.target == "127.0.0.1:8765")
    #expect(try invocation("stats").server.pool == "default")
    let environment = ["QUIRE_TARGET": "h:1", "QUIRE_POOL": "p"]
    #expect(try invocation("stats", environment).server.target == "h:1")
    #expect(try invocation("stats", environment).server.pool == "p")
    #expect(try invocation("stats --target i:2", environment).server.target == "i:2")
  }

  @Test("help is asked for in every usual way")
  func help() throws {
    #expect(try parse("--help").get() == .help)
    #expect(try parse("help").get() == .help)
    #expect(try parse("stats --help").get() == .helpFor("stats"))
    #expect(try parse("help size").get() == .helpFor("size"))
    #expect(try parse("--version").get() == .version)
  }

  @Test("every command has help with an example that parses")
  func examples() throws {
    for line in Invocation.usage.split(separator: "\n") where line.hasPrefix("  ") {
      guard let name = line.split(separator: " ").first.map(String.init),
        case .success(.helpFor) = parse("help \(name)")
      else { continue }
      let help = Invocation.help(for: name)
      let examples = help.split(separator: "\n").filter { $0.hasPrefix("  quire ") }
      #expect(!examples.isEmpty, "\(name)")
      for example in examples {
        let words = example.dropFirst(8).split(separator: "|")[0].split(separator: ">")[0]
          .replacing("\"", with: "")
        #expect(throws: Never.self, "\(example)") { try parse(String(words)).get() }
      }
      #expect(help.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(name)")
    }
    #expect(Invocation.usage.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }

  @Test(
    "what is wrong is named, with what was meant where that can be told",
    arguments: [
      ("", "a command is missing"), ("stat", "did you mean stats?"),
      ("stats --jsno", "--jsno is no option of stats; did you mean --json?"),
      ("stats --watch", "--watch needs a value"),
      ("stats --watch soon", "--watch is 'soon'; expected a number from 0.050 to 3600"),
      ("stats --count 3", "--count needs --watch"),
      ("stats extra", "extra: stats takes no such argument"),
      ("pools --pool x", "--pool is no option of pools"),
      ("size --target x", "--target is no option of size"),
      ("--json stats", "--json stands before the command"),
      ("sequences ten", "'ten' is no sequence id"),
      ("sequences --state runing", "did you mean running?"),
      ("stats --tls-cert c.pem", "--tls-cert needs --tls-key"),
      ("defrag --run 3 --sequence 4", "--run and --sequence are two goals"),
      ("defrag --force", "--force needs --apply"),
      ("explain", "expected block ID or prefix"),
      ("explain blok 3", "did you mean block?"),
      ("explain block", "explain block needs the block's id"),
      ("explain block 0", "'0' is no block id"),
      ("explain block 3 --sequence 4", "--sequence is for explain prefix"),
      ("explain prefix", "needs --tokens, --tokens-file or --sequence"),
      ("explain prefix --tokens 1 --sequence 4", "--tokens and --sequence are two prefixes"),
      ("explain prefix --sequence 4 --salt s", "--salt needs --tokens or --tokens-file"),
      ("explain prefix --tokens 1 --incidents 3", "--incidents is for explain block"),
      ("size", "nothing to calculate"), ("size --kv-bytes 1GiB", "--kv-bytes needs a geometry"),
      ("size --kv-bytes 1Gib --model llama-3-8b", "expected bytes such as 65536, 512MiB or 60GiB"),
      ("size --layers 3 --lengths 4", "--kv-heads is missing"),
      ("size --model lama-3-8b", "did you mean llama-3-8b?"),
      ("size --lengths 3,x", "--lengths is '3,x'; expected whole numbers"),
      ("size --lengths 3,9 --max-model-tokens 8", "a sequence has 9 tokens"),
      ("size --blocks 4 --kv-bytes 4", "--kv-bytes and --blocks both size the pool"),
    ])
  func problems(line: String, words: String) {
    #expect(problem(line)?.contains(words) == true, "\(problem(line) ?? "no problem")")
  }

  @Test("bytes are read with binary, decimal and no units")
  func bytes() {
    #expect(ByteText.parse("0") == 0)
    #expect(ByteText.parse("60GiB") == 64_424_509_440)
    #expect(ByteText.parse("16GB") == 16_000_000_000)
    #expect(ByteText.parse("1.5KiB") == 1_536)
    for wrong in ["", "GiB", "-1", "1.5", "1e9", "99999999TiB", "4 GiB"] {
      #expect(ByteText.parse(wrong) == nil, "\(wrong)")
    }
  }
}
