package import UVLoop

/// What the command line asks for. Parsing is a pure function: it reads nothing but its arguments.
package struct Arguments: Equatable {
  package struct Pool: Equatable {
    package var name: String
    package var blocks: UInt32
    package var blockSize: UInt32
    /// 0 = no host tier.
    package var hostBlocks: UInt32

    package init(name: String, blocks: UInt32, blockSize: UInt32, hostBlocks: UInt32 = 0) {
      self.name = name
      self.blocks = blocks
      self.blockSize = blockSize
      self.hostBlocks = hostBlocks
    }
  }

  package enum Request: Equatable {
    case serve(Arguments)
    case help
    case version
  }

  /// A flag or a value that is wrong, and what is wrong with it.
  package struct Problem: Error, Equatable, CustomStringConvertible {
    package let description: String
  }

  package static let defaultListen = ListenAddress.tcp(host: "127.0.0.1", port: 8765)
  package static let defaultPool = Pool(name: "default", blocks: 4_096, blockSize: 16)
  package static let defaultBlockSize: UInt32 = 16

  package var listen: [ListenAddress] = []
  package var pools: [Pool] = []
  package var logLevel = Log.Level.info
  package var logFormat = Log.Format.text

  package static let help = """
    quired: serves paged KV-cache block pools over gRPC.

    Usage: quired [OPTION]...

      --listen ADDR          host:port, [::1]:port or unix:PATH; repeatable; port 0 lets the
                             system choose (default 127.0.0.1:8765)
      --pool NAME:blocks=N,block-size=B
                             a pool of N blocks of B tokens (B: default 16); repeatable;
                             host-blocks=H adds a host tier to swap sequences out to
                             (default default:blocks=4096,block-size=16)
      --log-level LEVEL      error, warning, info or debug (default info)
      --log-format FORMAT    text or json (default text)
      --version              say the version and exit
      --help                 say this and exit

    When ready it prints `quired: listening on ADDRESS` for each listener. It logs to standard
    error. SIGTERM and SIGINT end it gracefully, a second one at once.
    """

  /// - Parameter words: The command line without the program's name.
  package static func parse(_ words: [String]) throws(Problem) -> Request {
    var arguments = Arguments()
    var rest = words[...]
    while let word = rest.popFirst() {
      let (flag, attached) = split(word)
      switch flag {
      case "--help", "-h", "--version":
        if attached != nil { throw Problem("\(flag) takes no value") }
        return flag == "--version" ? .version : .help
      case "--listen", "--pool", "--log-level", "--log-format":
        guard let value = attached ?? rest.popFirst() else {
          throw Problem("\(flag) needs a value")
        }
        try arguments.set(flag, value)
      default:
        throw Problem(
          flag.hasPrefix("-") ? "unknown option '\(flag)'" : "unexpected argument '\(word)'")
      }
    }
    if arguments.listen.isEmpty { arguments.listen = [defaultListen] }
    if arguments.pools.isEmpty { arguments.pools = [defaultPool] }
    return .serve(arguments)
  }

  /// `--flag=value` to its parts; other words to themselves.
  private static func split(_ word: String) -> (flag: String, value: String?) {
    guard word.hasPrefix("--"), let equals = word.firstIndex(of: "=") else { return (word, nil) }
    return (String(word[..<equals]), String(word[word.index(after: equals)...]))
  }

  private mutating func set(_ flag: String, _ value: String) throws(Problem) {
    switch flag {
    case "--listen":
      do throws(AddressError) {
        listen.append(try ListenAddress(parsing: value))
      } catch {
        throw Problem("--listen '\(value)': \(error.reason)")
      }
    case "--pool":
      let pool = try Self.pool(value)
      if pools.contains(where: { $0.name == pool.name }) {
        throw Problem("--pool '\(value)': the name '\(pool.name)' is taken by another --pool")
      }
      pools.append(pool)
    case "--log-level":
      guard let level = Log.Level(name: value) else {
        throw Problem("--log-level '\(value)': must be error, warning, info or debug")
      }
      logLevel = level
    default:
      guard let format = Log.Format(rawValue: value) else {
        throw Problem("--log-format '\(value)': must be text or json")
      }
      logFormat = format
    }
  }

  /// `NAME:blocks=N` with an optional `,block-size=B`, in any order.
  private static func pool(_ text: String) throws(Problem) -> Pool {
    func fail(_ reason: String) -> Problem { Problem("--pool '\(text)': \(reason)") }
    guard let colon = text.firstIndex(of: ":") else {
      throw fail("must be NAME:blocks=N,block-size=B")
    }
    let name = String(text[..<colon])
    if name.isEmpty { throw fail("the name before ':' is empty") }
    var blocks: UInt32?
    var blockSize: UInt32?
    var hostBlocks: UInt32?
    for part in text[text.index(after: colon)...].split(
      separator: ",", omittingEmptySubsequences: false)
    {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2 else { throw fail("'\(part)' is not KEY=NUMBER") }
      guard let number = Self.number(pair[1]) else {
        throw fail("\(pair[0]) '\(pair[1])' is not a whole number from 1 to 4294967295")
      }
      switch pair[0] {
      case "blocks" where blocks == nil: blocks = number
      case "block-size" where blockSize == nil: blockSize = number
      case "host-blocks" where hostBlocks == nil: hostBlocks = number
      case "blocks", "block-size", "host-blocks": throw fail("\(pair[0]) is given twice")
      default: throw fail("unknown key '\(pair[0])'; known are blocks, block-size and host-blocks")
      }
    }
    guard let blocks else { throw fail("blocks is missing") }
    return Pool(
      name: name, blocks: blocks, blockSize: blockSize ?? defaultBlockSize,
      hostBlocks: hostBlocks ?? 0)
  }

  private static func number(_ text: Substring) -> UInt32? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt32(text),
      number > 0
    else { return nil }
    return number
  }
}

extension Arguments.Problem {
  fileprivate init(_ description: String) { self.description = description }
}
