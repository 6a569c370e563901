import Foundation
import TestSupport
import Testing

/// A built program under test, with its output in hand.
private final class Program {
  private let process = Process()
  private let output = Pipe()
  private let errors = Pipe()

  /// - Parameter name: Of a program built beside the tests.
  init(_ name: String, _ arguments: [String]) throws {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    process.executableURL = Self.builtPrograms(from: own).appending(path: name)
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = errors
    try process.run()
  }

  deinit {
    if process.isRunning { kill() }
    process.waitUntilExit()
  }

  /// The folder the test bundle lies in, found from the runner's arguments.
  private static func builtPrograms(from runner: String) -> URL {
    let bundle = CommandLine.arguments.first { $0.contains(".xctest") } ?? runner
    var folder = URL(filePath: bundle)
    while folder.path.contains(".xctest") { folder.deleteLastPathComponent() }
    return folder
  }

  /// One line of standard output or error, without its end; what there is of it when the program
  /// ends. Waits.
  func line(ofErrors: Bool = false) -> String {
    let handle = (ofErrors ? errors : output).fileHandleForReading
    var bytes: [UInt8] = []
    while let byte = handle.readData(ofLength: 1).first, byte != UInt8(ascii: "\n") {
      bytes.append(byte)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Everything it still writes, and how it ended. Waits.
  func finish() -> (code: Int32, output: String, errors: String) {
    let written = output.fileHandleForReading.readDataToEndOfFile()
    let complaints = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (
      process.terminationStatus, String(decoding: written, as: UTF8.self),
      String(decoding: complaints, as: UTF8.self)
    )
  }

  func interrupt() { process.interrupt() }
  func kill() { _ = Foundation.kill(process.processIdentifier, SIGKILL) }
}

/// A server with one pool on a port of its own.
private struct Server {
  let program: Program
  let address: String

  init(blocks: Int, more: [String] = []) throws {
    program = try Program(
      "quired",
      ["--listen", "127.0.0.1:0", "--pool", "default:blocks=\(blocks),block-size=16"] + more)
    address = String(try #require(program.line().split(separator: " ").last))
  }
}

private let demoTrace = URL(filePath: #filePath).deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()
  .appending(path: "clients/load/Traces/demo.jsonl").path

@Suite("quire-load as its users run it")
struct ProgramTests {
  @Test(
    "a replay into a tight pool preempts, finishes everything and leaves nothing behind",
    arguments: [[], ["--compress", "gzip"]])
  func replay(more: [String]) throws {
    let server = try Server(blocks: 1_200)
    let json = FileManager.default.temporaryDirectory
      .appending(path: "quire-load-\(ProcessInfo.processInfo.processIdentifier)-\(more.count).json")
    defer { unlink(json.path) }
    let load = try Program(
      "quire-load",
      [
        "replay", demoTrace, "--target", server.address, "--limit", "40", "--speed", "10",
        "--json", json.path, "--quiet",
      ] + more)
    let end = load.finish()
    // 4: on a busy machine the client may find that it was too slow itself.
    #expect(end.code == 0 || end.code == 4, "\(end.errors)")
    #expect(end.errors.isEmpty)
    #expect(end.output.contains("leak check   ok: 0 blocks, 0 sequences"))

    struct Report: Decodable {
      var requests_finished: Int, errors: Int, leaked_blocks: Int, preemptions: Int
    }
    let report = try JSONDecoder().decode(Report.self, from: Data(contentsOf: json))
    #expect(report.requests_finished == 40)
    #expect(report.errors == 0)
    #expect(report.leaked_blocks == 0)
    #expect(report.preemptions > 0)
  }

  @Test("a run over mutual TLS passes, and one that trusts nobody we know says why it cannot")
  func tls() throws {
    let path = TestCertificates.path
    let server = try Server(
      blocks: 4_096,
      more: [
        "--tls-cert", path("server.pem"), "--tls-key", path("server.key"), "--tls-client-ca",
        path("ca.pem"), "--log-level", "error",
      ])
    func run(_ more: String...) throws -> (code: Int32, output: String, errors: String) {
      try Program(
        "quire-load",
        [
          "replay", demoTrace, "--target", server.address, "--limit", "10", "--speed", "10",
          "--quiet", "--tls-cert", path("client.pem"), "--tls-key", path("client.key"),
        ] + more
      ).finish()
    }
    let good = try run("--tls-ca", path("ca.pem"), "--tls-server-name", "quire.test")
    #expect(good.code == 0 || good.code == 4, "\(good.errors)")
    #expect(good.output.contains("leak check   ok: 0 blocks, 0 sequences"))

    let doubtful = try run("--tls-ca", path("other-ca.pem"))
    #expect(doubtful.code == 2)
    #expect(doubtful.errors.contains("certificate verify failed"))

    let lost = try run("--tls-ca", path("nowhere.pem"))
    #expect(lost.code == 1)
    #expect(lost.errors.contains("nowhere.pem': No such file or directory"))
  }

  @Test("an interrupted run frees what it holds, reports and ends with 130")
  func interrupted() throws {
    let server = try Server(blocks: 4_096)
    let load = try Program(
      "quire-load", ["run", "chat-system-prompt", "--target", server.address, "--speed", "5"])
    #expect(load.line(ofErrors: true).contains("running"))
    load.interrupt()
    let end = load.finish()
    #expect(end.code == 130)
    #expect(end.output.contains("ended early: stopped by a signal"))
    #expect(end.output.contains("leak check   ok: 0 blocks, 0 sequences"))
  }

  @Test("a server that dies ends the run with 2, and the report says so")
  func serverDies() throws {
    let server = try Server(blocks: 4_096)
    let load = try Program(
      "quire-load", ["run", "chat-system-prompt", "--target", server.address, "--speed", "5"])
    #expect(load.line(ofErrors: true).contains("running"))
    server.program.kill()
    let end = load.finish()
    #expect(end.code == 2)
    #expect(end.output.contains("leak check   not made"))
    #expect(end.output.contains("Scheduler.Step failed: unavailable"))
  }

  @Test("an unknown pool and a server that is not there end with 2 before anything is played")
  func nothingToPlayOn() throws {
    let server = try Server(blocks: 16)
    let unknown = try Program(
      "quire-load",
      ["run", "chat-system-prompt", "--target", server.address, "--pool", "nowhere"]
    ).finish()
    #expect(unknown.code == 2)
    #expect(unknown.errors.contains("notFound"))
    #expect(unknown.errors.contains("nowhere"))
    let absent = try Program(
      "quire-load", ["run", "chat-system-prompt", "--target", "unix:/nowhere/q.sock"]
    ).finish()
    #expect(absent.code == 2)
    #expect(absent.errors.contains("/nowhere/q.sock"))
    #expect(absent.output.isEmpty)
  }

  @Test("wrong flags and broken traces end with 1 and are named")
  func wrongUsage() throws {
    let flag = try Program("quire-load", ["replay", "x", "--sped", "2"]).finish()
    #expect(flag.code == 1)
    #expect(flag.errors == "quire-load: --sped is no option of replay; see quire-load --help\n")
    let trace = try Program(
      "quire-load", ["replay", "/dev/null", "--target", "127.0.0.1:1"]
    ).finish()
    #expect(trace.code == 1)
    #expect(trace.errors.hasPrefix("quire-load: /dev/null: the file is empty; expected"))
  }

  @Test("the shipped trace comes out of the program as it lies in its file")
  func generate() throws {
    let end = try Program("quire-load", ["generate", "--seed", "42", "--requests", "300"]).finish()
    #expect(end.code == 0)
    #expect(end.output == (try String(contentsOfFile: demoTrace, encoding: .utf8)))
  }
}
