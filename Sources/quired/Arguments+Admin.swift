package import AdminHTTP
internal import UVLoop

/// The admin port: metrics, probes and the dashboard.
extension Arguments {
  package struct Admin: Equatable {
    package var host: String
    package var port: UInt16
    package var options = AdminOptions()
    /// Also vLLM's names.
    package var addsVLLMNames = false

    var address: ListenAddress { .tcp(host: host, port: port) }
  }

  /// What the flags say; all but the first say something only beside it.
  struct AdminWords: Equatable {
    var address: ListenAddress?
    var options = AdminOptions()
    var addsVLLMNames = false
    /// The first flag that needs `--admin`.
    var dependent: String?
  }

  static let adminFlags: Set = [
    "--admin", "--admin-host", "--admin-max-connections", "--admin-max-streams",
    "--admin-max-request-bytes", "--admin-timeout", "--metrics-compat",
  ]

  static let adminHelp = """
      --admin ADDR           host:port for HTTP: /metrics for Prometheus, /healthz and /readyz, and the
                             dashboard at /; without TLS, and whoever reaches it may read all (off)
      --admin-host NAME      a host name under which it may be asked for, beside addresses and
                             localhost; repeatable
      --admin-max-connections N, --admin-max-streams N
                             connections at once (64), and of these such with live events (16)
      --admin-max-request-bytes SIZE
                             of one request's head (32KiB)
      --admin-timeout TIME   for a connection on which nothing moves, whole seconds (30s)
      --metrics-compat WHAT  none, or vllm: vLLM's names beside ours, for its dashboards (none)
    """

  mutating func setAdmin(_ flag: String, _ value: String) throws(Problem) {
    func fail(_ reason: String) -> Problem { Problem("\(flag) '\(value)': \(reason)") }
    if flag == "--admin" {
      do throws(AddressError) {
        adminWords.address = try ListenAddress(parsing: value)
      } catch {
        throw fail(error.reason)
      }
      guard case .tcp = adminWords.address else { throw fail("must be host:port") }
      return
    }
    if adminWords.dependent == nil { adminWords.dependent = flag }
    switch flag {
    case "--admin-host":
      let isName = value.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
          || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "_")
      }
      guard isName, (1...253).contains(value.utf8.count) else {
        throw fail("must be a host name, without a port")
      }
      adminWords.options.hostNames.append(value)
    case "--admin-max-connections":
      adminWords.options.maxConnections = UInt32(try count(flag, value, 1...10_000))
    case "--admin-max-streams":
      adminWords.options.maxStreams = UInt32(try count(flag, value, 0...10_000))
    case "--admin-max-request-bytes":
      guard let bytes = Quantity.bytes(value[...]), (4_096...1_048_576).contains(bytes) else {
        throw fail("must be from 4KiB to 1MiB")
      }
      adminWords.options.maxRequestBytes = Int(bytes)
    case "--admin-timeout":
      guard let time = Quantity.nanoseconds(value[...]), time % 1_000_000_000 == 0,
        (1...3_600).contains(time / 1_000_000_000)
      else { throw fail("must be from 1s to 1h, in whole seconds") }
      adminWords.options.timeoutSeconds = UInt32(time / 1_000_000_000)
    default:
      guard value == "none" || value == "vllm" else { throw fail("must be none or vllm") }
      adminWords.addsVLLMNames = value == "vllm"
    }
  }

  private func count(
    _ flag: String, _ value: String, _ range: ClosedRange<UInt64>
  ) throws(Problem) -> UInt64 {
    guard let number = UInt64(digits: value[...]), range.contains(number) else {
      throw Problem(
        "\(flag) '\(value)': must be a whole number from \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    return number
  }

  /// Decides what depends on more than one word.
  mutating func settleAdmin() throws(Problem) {
    defer { adminWords = AdminWords() }
    guard case .tcp(let host, let port)? = adminWords.address else {
      if let flag = adminWords.dependent { throw Problem("\(flag) needs --admin") }
      return
    }
    // A stream is a connection too, and there has to be one left to ask anything else.
    if adminWords.options.maxStreams >= adminWords.options.maxConnections {
      throw Problem(
        "--admin-max-streams '\(adminWords.options.maxStreams)': must be less than "
          + "--admin-max-connections, \(adminWords.options.maxConnections)")
    }
    admin = Admin(
      host: host, port: port, options: adminWords.options,
      addsVLLMNames: adminWords.addsVLLMNames)
  }
}
