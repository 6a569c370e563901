import BlockService
import GRPCServer
import Testing
import UVLoop
import quired

@Suite("The command line")
struct ArgumentsTests {
  private func parse(_ words: String...) -> Result<Arguments.Request, Arguments.Problem> {
    do {
      return .success(try Arguments.parse(words))
    } catch {
      return .failure(error)
    }
  }

  @Test("says nothing: one listener on loopback and one pool")
  func defaults() throws {
    guard case .serve(let arguments) = try parse().get() else {
      Issue.record("does not serve")
      return
    }
    #expect(arguments.listen == [.init(.tcp(host: "127.0.0.1", port: 8765))])
    #expect(arguments.tls == nil && arguments.unixMode == 0o600)
    #expect(arguments.pools == [.init(name: "default", blocks: 4_096, blockSize: 16)])
    #expect(arguments.replyCompression == .mirror)
    #expect(arguments.logLevel == .info)
    #expect(arguments.logFormat == .text)
    #expect(arguments.analysis.blockHistory == .auto)
    #expect(arguments.analysis.measuredLifetimes == nil)
  }

  @Test("has pools looked at where somebody looks, or where it says so")
  func sampling() throws {
    func interval(_ words: String...) throws -> UInt64? {
      guard case .serve(let arguments) = try Arguments.parse(words) else { return 0 }
      return arguments.sampling.intervalNanoseconds
    }
    #expect(try interval() == nil)
    #expect(try interval("--admin", "127.0.0.1:0") == 1_000_000_000)
    #expect(try interval("--sample-interval", "5s") == 5_000_000_000)
    #expect(try interval("--admin", "127.0.0.1:0", "--sample-interval", "off") == nil)
  }

  @Test("says what is remembered of blocks")
  func history() throws {
    guard
      case .serve(let arguments) = try parse("--block-history=off", "--lifetime-sample", "0").get()
    else {
      Issue.record("does not serve")
      return
    }
    #expect(arguments.analysis.blockHistory == .off)
    #expect(arguments.analysis.lifetimeSample == 0)
    func complaint(_ words: String...) -> String? {
      do {
        _ = try Arguments.parse(words)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(complaint("--block-history=yes") == "--block-history 'yes': must be on, off or auto")
    #expect(
      complaint("--lifetime-sample=1000001")
        == "--lifetime-sample '1000001': must be 0 to 1000000")
  }

  @Test("takes values apart or attached, and lists by repeating")
  func values() throws {
    let request = try parse(
      "--listen", "[::1]:0", "--listen=unix:/tmp/q.sock", "--pool=a:blocks=10,block-size=32",
      "--pool", "b:blocks=7", "--log-level=debug", "--log-format", "json",
      "--compress-replies", "deflate"
    ).get()
    guard case .serve(let arguments) = request else {
      Issue.record("does not serve")
      return
    }
    #expect(
      arguments.listen == [.init(.tcp(host: "::1", port: 0)), .init(.unix(path: "/tmp/q.sock"))])
    #expect(
      arguments.pools == [
        .init(name: "a", blocks: 10, blockSize: 32), .init(name: "b", blocks: 7, blockSize: 16),
      ])
    #expect(arguments.replyCompression == .deflate)
    #expect(arguments.logLevel == .debug)
    #expect(arguments.logFormat == .json)
  }

  @Test("a pool may be given in bytes, with the model's geometry")
  func poolOfBytes() throws {
    let request = try parse(
      "--pool=a:kv-bytes=60GiB,layers=32,kv-heads=32,head-size=128,dtype-bytes=2",
      "--pool=b:memory-utilization=0.5,kv-bytes=1500000,layers=1,kv-heads=1,head-size=1,"
        + "dtype-bytes=1,block-size=8"
    ).get()
    guard case .serve(let arguments) = request else {
      Issue.record("does not serve")
      return
    }
    var a = PoolSize(blocks: 0, blockSize: 16)
    a.kvBytes = 64_424_509_440
    (a.layers, a.kvHeads, a.headSize, a.dtypeBytes) = (32, 32, 128, 2)
    var b = PoolSize(blocks: 0, blockSize: 8)
    b.kvBytes = 1_500_000
    b.memoryUtilization = 0.5
    (b.layers, b.kvHeads, b.headSize, b.dtypeBytes) = (1, 1, 1, 1)
    #expect(arguments.pools == [.init(name: "a", a), .init(name: "b", b)])
  }

  @Test(
    "bytes that are no number of bytes are refused",
    arguments: ["", "0", "60", "60Gib", "GiB", "-1GiB", "1.5GiB", "99999999999TiB"])
  func badBytes(text: String) {
    do {
      _ = try Arguments.parse(["--pool", "x:kv-bytes=\(text)"])
      #expect(text == "60")
    } catch {
      #expect("\(error)".contains("kv-bytes '\(text)' is not a number of bytes"))
    }
  }

  @Test("help and version come before anything else")
  func others() throws {
    #expect(try parse("--help").get() == .help)
    #expect(try parse("--version").get() == .version)
  }

  @Test(
    "a wrong flag or value names itself",
    arguments: [
      (["--pot"], "unknown option '--pot'"),
      (["serve"], "unexpected argument 'serve'"),
      (["--listen"], "--listen needs a value"),
      (
        ["--compress-replies=brotli"],
        "--compress-replies 'brotli': must be none, mirror, gzip or deflate"
      ),
      (["--help=yes"], "--help takes no value"),
      (["--listen", "8765"], "--listen '8765': the port is missing"),
      (
        ["--listen", "a:99999"],
        "--listen 'a:99999': the port '99999' is not a number from 0 to 65535"
      ),
      (["--pool", "x"], "--pool 'x': must be NAME:blocks=N,block-size=B"),
      (["--pool", ":blocks=1"], "--pool ':blocks=1': the name before ':' is empty"),
      (["--pool", "x:block-size=1"], "--pool 'x:block-size=1': blocks is missing"),
      (
        ["--pool", "x:blocks=0"],
        "--pool 'x:blocks=0': blocks '0' is not a whole number from 1 to 4294967295"
      ),
      (
        ["--pool", "x:blocks=-3"],
        "--pool 'x:blocks=-3': blocks '-3' is not a whole number from 1 to 4294967295"
      ),
      (
        ["--pool", "x:blocks=1,size=2"],
        "--pool 'x:blocks=1,size=2': unknown key 'size'; known are blocks, block-size, host-blocks, strategy, prefix-caching, keep-tokens, max-model-tokens, kv-bytes, memory-utilization, layers, kv-heads, head-size and dtype-bytes"
      ),
      (
        ["--pool", "x:blocks=1,blocks=2"], "--pool 'x:blocks=1,blocks=2': blocks is given twice"
      ),
      (["--pool", "x:blocks=1,"], "--pool 'x:blocks=1,': '' is not KEY=VALUE"),
      (
        ["--pool", "x:blocks=1", "--pool=x:blocks=2"],
        "--pool 'x:blocks=2': the name 'x' is taken by another --pool"
      ),
      (
        ["--pool", "x:kv-bytes=1GiB,memory-utilization=1.1"],
        "--pool 'x:kv-bytes=1GiB,memory-utilization=1.1': memory-utilization '1.1' is not a number over 0 and at most 1"
      ),
      (["--log-level", "loud"], "--log-level 'loud': must be error, warning, info or debug"),
      (["--max-streams"], "--max-streams needs a value"),
      (
        ["--max-streams", "0"], "--max-streams '0': must be a whole number from 1 to 100000"
      ),
      (
        ["--max-message-bytes=4EB"], "--max-message-bytes '4EB': must be from 1KiB to 1GiB"
      ),
      (
        ["--max-upload-bytes", "18446744073709551615TiB"],
        "--max-upload-bytes '18446744073709551615TiB': must be from 64KiB to 1TiB"
      ),
      (
        ["--handshake-timeout", "never"],
        "--handshake-timeout 'never': must be from 1ms to 8760h, such as 500ms, 30s, 5m or 2h"
      ),
      (
        ["--max-connection-age", "30"],
        "--max-connection-age '30': must be from 1ms to 8760h, such as 500ms, 30s, 5m or 2h, or never"
      ),
      (["--permit-idle-pings"], "--permit-idle-pings needs a value"),
      (["--permit-idle-pings=maybe"], "--permit-idle-pings 'maybe': must be yes or no"),
      (
        ["--min-compressed-reply=2GiB"],
        "--min-compressed-reply '2GiB': must be from 0 to 1GiB"
      ),
      (["--log-format", "xml"], "--log-format 'xml': must be text or json"),
    ] as [([String], String)])
  func problems(words: [String], message: String) {
    do {
      _ = try Arguments.parse(words)
      Issue.record("\(words) was accepted")
    } catch {
      #expect("\(error)" == message)
    }
  }

  @Test("limits are counts, sizes with units and times with units")
  func limits() throws {
    let words = [
      "--max-connections", "5", "--max-message-bytes=1MiB", "--max-upload-bytes=1000000",
      "--keepalive-interval", "90s", "--keepalive-timeout=500ms", "--max-connection-age", "2h",
      "--min-ping-interval=5m", "--request-stall=never", "--cut-off-linger=20ms",
    ]
    guard case .serve(let arguments) = try Arguments.parse(words) else {
      Issue.record("no server")
      return
    }
    #expect(arguments.limits.maxConnections == 5)
    #expect(arguments.limits.maxMessageBytes == 1_048_576)
    #expect(arguments.limits.maxHeldRequestBytes == 1_000_000)
    #expect(arguments.limits.keepaliveNanoseconds == 90_000_000_000)
    #expect(arguments.limits.keepaliveTimeoutNanoseconds == 500_000_000)
    #expect(arguments.limits.maxAgeNanoseconds == 7_200_000_000_000)
    #expect(arguments.limits.minPingIntervalNanoseconds == 300_000_000_000)
    #expect(arguments.limits.requestStallNanoseconds == ServerOptions.never)
    #expect(arguments.limits.cutOffLingerNanoseconds == 20_000_000)
  }

  @Test("small replies may be compressed, and idle clients may ping")
  func choices() throws {
    func limits(_ words: String...) throws -> ServerOptions {
      guard case .serve(let arguments) = try Arguments.parse(words) else { return ServerOptions() }
      return arguments.limits
    }
    #expect(try limits().minCompressedReplyBytes == 1_024)
    #expect(try limits("--min-compressed-reply", "0").minCompressedReplyBytes == 0)
    #expect(try limits("--min-compressed-reply=64KiB").minCompressedReplyBytes == 65_536)
    #expect(try !limits().permitsPingsWithoutCalls)
    #expect(try limits("--permit-idle-pings", "yes").permitsPingsWithoutCalls)
    #expect(
      try !limits("--permit-idle-pings=yes", "--permit-idle-pings=no").permitsPingsWithoutCalls)
  }

  @Test("the help names each limit once, with its default")
  func limitHelp() {
    let lines = Arguments.help.split(separator: "\n")
    #expect(lines.contains { $0.hasPrefix("  --max-connections N ") && $0.hasSuffix("(10000)") })
    #expect(lines.contains { $0.hasPrefix("  --keepalive-interval TIME ") && $0.hasSuffix("(2h)") })
    #expect(
      lines.contains { $0.hasPrefix("  --max-connection-age TIME ") && $0.hasSuffix("(never)") })
    #expect(
      lines.contains { $0.hasPrefix("  --max-message-bytes SIZE ") && $0.hasSuffix("(4MiB)") })
    #expect(
      lines.contains { $0.hasPrefix("  --min-compressed-reply SIZE ") && $0.hasSuffix("(1KiB)") })
    #expect(
      lines.contains { $0.hasPrefix("  --permit-idle-pings yes|no ") && $0.hasSuffix("(no)") })
    #expect(lines.allSatisfy { $0.utf8.count <= 110 })
  }
}
