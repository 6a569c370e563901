import Testing
import Workloads
import ToolSupport

private func parse(_ line: String) -> Result<LoadCommand, UsageError> {
  do throws(UsageError) {
    return .success(try LoadCommand.parse(line.split(separator: " ").map(String.init)))
  } catch {
    return .failure(error)
  }
}

@Test("a full command line is taken as it is written")
func fullLine() throws {
  var options = RunOptions()
  options.server.target = "unix:/run/q.sock"
  options.server.pool = "tight"
  options.compression = .gzip
  options.speed = 60
  options.limit = 100
  options.seed = 7
  options.decodeMilliseconds = 25
  options.jsonPath = "out.json"
  options.isQuiet = true
  options.hasPlainStatus = true
  let line =
    "replay t.csv --target unix:/run/q.sock --pool=tight --speed 60 --limit 100 --seed 7 "
    + "--decode-ms 25 --json out.json --quiet --no-tty --dequantise --compress gzip"
  #expect(try parse(line).get() == .replay(path: "t.csv", isDequantised: true, options))
}

@Test("TLS is asked for by any of its options")
func tlsOptions() throws {
  func tls(_ words: String) throws -> TLSFiles? {
    guard case .replay(_, _, let options) = try parse("replay t --target h:1 " + words).get() else {
      return nil
    }
    return options.server.tls
  }
  #expect(try tls("") == nil)
  #expect(try tls("--tls") == TLSFiles())
  var files = TLSFiles()
  files.ca = "ca.pem"
  files.certificate = "c.pem"
  files.key = "k.pem"
  files.serverName = "quire.test"
  #expect(
    try tls("--tls-ca ca.pem --tls-cert c.pem --tls-key=k.pem --tls-server-name quire.test --tls")
      == files)
}

@Test("a scenario runs a minute unless it is told how long or how many")
func durations() throws {
  var options = RunOptions()
  options.server.target = "h:1"
  let name = "chat-system-prompt"
  #expect(
    try parse("run \(name) --target h:1").get()
      == .run(scenario: name, durationSeconds: 60, options))
  options.limit = 5
  #expect(
    try parse("run \(name) --target h:1 --limit 5").get()
      == .run(scenario: name, durationSeconds: .infinity, options))
  #expect(
    try parse("generate --requests 9").get() == .generate(scenario: name, seed: 42, requests: 9))
}

@Test(
  "what is wrong is named, with what was expected",
  arguments: [
    ("", "a command is missing; expected replay, run or generate"),
    ("play x", "play is no command; expected replay, run or generate"),
    ("replay --target h:1", "replay: the trace file is missing"),
    ("replay t", "--target is missing; expected host:port, [::1]:port or unix:PATH"),
    ("replay a b --target h:1", "b: replay takes one file"),
    ("replay t --target h:1 --sped 3", "--sped is no option of replay"),
    ("replay t --target", "--target needs a value"),
    ("replay t --target h:1 --tls-cert c", "--tls-cert needs --tls-key"),
    ("replay t --target h:1 --tls-key k", "--tls-key needs --tls-cert"),
    ("replay t --target h:1 --compress br", "--compress is 'br'; expected gzip or deflate"),
    (
      "replay t --target h:1 --speed fast",
      "--speed is 'fast'; expected a number from 0.001 to 100000"
    ),
    ("replay t --target h:1 --speed 0", "--speed is '0'; expected a number from 0.001 to 100000"),
    (
      "replay t --target h:1 --limit 0",
      "--limit is '0'; expected a whole number from 1 to 1000000000"
    ),
    (
      "replay t --target h:1 --speed nan",
      "--speed is 'nan'; expected a number from 0.001 to 100000"
    ),
    ("replay t --target h:1 --speed -2", "--speed is '-2'; expected a number from 0.001 to 100000"),
    (
      "replay t --target h:1 --speed 100001",
      "--speed is '100001'; expected a number from 0.001 to 100000"
    ),
    (
      "replay t --target h:1 --limit -5",
      "--limit is '-5'; expected a whole number from 1 to 1000000000"
    ),
    (
      "replay t --target h:1 --limit 99999999999999999999",
      "--limit is '99999999999999999999'; expected a whole number from 1 to 1000000000"
    ),
    (
      "run chat-system-prompt --target h:1 --limit 10000001",
      "--limit is '10000001'; expected a whole number from 1 to 10000000, which run makes at most"
    ),
    (
      "generate --requests 10000001",
      "--requests is '10000001'; expected a whole number from 1 to 10000000"
    ),
    ("run --target h:1", "run: the scenario is missing; expected chat-system-prompt"),
    ("run soak --target h:1", "soak is no scenario; expected chat-system-prompt"),
    ("run chat-system-prompt --target h:1 --dequantise", "--dequantise is no option of run"),
    ("generate --speed 3", "--speed is no option of generate"),
  ])
func wrongLines(line: String, expected: String) {
  #expect(parse(line) == .failure(UsageError(expected)))
}
