package import BlockService
package import GRPCServer
package import TLSEngine
internal import UVLoop
package import VLLMEvents

/// What the command line asks for. Parsing is a pure function: it reads nothing but its arguments.
package struct Arguments: Equatable {
  package struct Pool: Equatable {
    package var name: String
    package var size: PoolSize

    package init(name: String, _ size: PoolSize) {
      self.name = name
      self.size = size
    }

    package init(name: String, blocks: UInt32, blockSize: UInt32, hostBlocks: UInt32 = 0) {
      self.init(
        name: name, PoolSize(blocks: blocks, blockSize: blockSize, hostBlocks: hostBlocks))
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

  package static let defaultListen = Listener(.tcp(host: "127.0.0.1", port: 8765))
  package static let defaultPool = Pool(name: "default", blocks: 4_096, blockSize: 16)
  package static let defaultBlockSize: UInt32 = 16

  package var listen: [Listener] = []
  /// nil = no certificates.
  package var tls: TLSServerConfiguration?
  package var unixMode: UInt32 = 0o600
  var transport = TransportWords()
  /// nil = no admin port.
  package var admin: Admin?
  var adminWords = AdminWords()
  package var pools: [Pool] = []
  /// What the flags of `LimitFlag` say.
  package var limits = ServerOptions()
  package var replyCompression = ReplyCompressionPolicy.mirror
  package var events = EventOptions()
  package var sampling = SamplingOptions()
  /// nil = events are not published in vLLM's form.
  package var zmq: ZMQEventOptions?
  var zmqWords = ZMQWords()
  package var analysis = AnalysisOptions()
  package var logLevel = Log.Level.info
  package var logFormat = Log.Format.text

  package static let help = """
    quired: serves paged KV-cache block pools over gRPC.

    Usage: quired [OPTION]...

      --listen ADDR          host:port, [::1]:port, unix:PATH or unix-abstract:NAME; repeatable;
                             port 0 lets the system choose (default 127.0.0.1:8765)
      --listen tls:ADDR, --listen tcp:ADDR
                             host:port with TLS, or in plain text, whatever is usual: TCP uses TLS
                             when there is a --tls-cert, Unix sockets never do
      --unix-mode MODE       permissions of unix: sockets, octal (default 0600)
      --tls-cert FILE        the certificate chain, PEM; SIGHUP reads all of these files again
      --tls-key FILE         its private key, PEM without a passphrase
      --tls-client-ca FILE   ask clients for a certificate of these authorities, refuse others
      --tls-min-version V    1.2 (the default) or 1.3
      --pool NAME:blocks=N,block-size=B
                             a pool of N blocks of B tokens (B: default 16); repeatable;
                             host-blocks=H adds a host tier to swap sequences out to;
                             keep-tokens=on keeps all token ids, for events and dumps;
                             strategy=free-queue (the default), first-fit, best-fit, buddy,
                             contiguous-max, contiguous-power-of-two or contiguous-exact, the last
                             four with prefix-caching=off, contiguous-max with max-model-tokens=T
                             (default default:blocks=4096,block-size=16)
      --pool NAME:kv-bytes=SIZE,layers=L,kv-heads=H,head-size=D,dtype-bytes=E
                             a pool of as many blocks as fit a share of SIZE (for example 60GiB):
                             memory-utilization=U, default 0.9
      --compress-replies HOW replies of --min-compressed-reply and more: none, mirror (as the
                             client's request is), gzip or deflate, where the client reads it
                             (default mirror)
    \(eventHelp)
    \(zmqHelp)
    \(samplingHelp)
      --block-history WHEN   remember what happened to blocks and what was evicted, for
                             ExplainBlock and ExplainLookup, up to 12 MiB a pool: on, off, or
                             auto: of a pool from the first such question on (default auto)
      --lifetime-sample N    measure the lifetime of one block in N that are handed out, 1 to
                             1000000, for /metrics and reports; 0: of none. Each command is told for
                             it (default 100 with --block-history on, else 0)
      --what-if-blocks N     blocks of a pool that WhatIf may play a trace into; a pool is made at
                             once, about 10 ms for the default (default 262144)
      --what-if-percent N    of a core's time that playing traces may take, 1 to 100, in pieces of
                             1 ms and a command (default 25)
    \(adminHelp)
      --log-level LEVEL      error, warning, info or debug (default info)
      --log-format FORMAT    text or json (default text)
      --version              say the version and exit
      --help                 say this and exit

    Limits; SIZE as 65536, 512KiB or 4MiB, TIME as 500ms, 30s, 5m or 2h:

    \(LimitFlag.help)

    When ready it prints `quired: listening on ADDRESS` for each listener, and `quired: admin listening
    on ADDRESS` for the admin port. It logs to standard
    error. SIGTERM and SIGINT end it gracefully, a second one at once.
    """

  /// Those that take a value, without the limits.
  private static let flags =
    [
      "--listen", "--unix-mode", "--tls-cert", "--tls-key", "--tls-client-ca", "--tls-min-version",
      "--pool", "--compress-replies", "--log-level", "--log-format",
    ] + AnalysisOptions.flags + eventFlags + samplingFlags + zmqFlags + adminFlags

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
      default:
        let limit = LimitFlag.all.first { $0.name == flag }
        guard limit != nil || flags.contains(flag) else {
          throw Problem(
            flag.hasPrefix("-") ? "unknown option '\(flag)'" : "unexpected argument '\(word)'")
        }
        guard let value = attached ?? rest.popFirst() else {
          throw Problem("\(flag) needs a value")
        }
        if let limit {
          try limit.set(value, in: &arguments.limits)
        } else {
          try arguments.set(flag, value)
        }
      }
    }
    if arguments.listen.isEmpty { arguments.listen = [defaultListen] }
    try arguments.settleTransport()
    try arguments.settleZMQ()
    try arguments.settleAdmin()
    arguments.settleSampling()
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
    case _ where Self.eventFlags.contains(flag): try setEvents(flag, value)
    case _ where Self.samplingFlags.contains(flag): try setSampling(flag, value)
    case _ where Self.zmqFlags.contains(flag): try setZMQ(flag, value)
    case _ where Self.adminFlags.contains(flag): try setAdmin(flag, value)
    case "--listen": listen.append(try Listener(parsing: value))
    case "--unix-mode", "--tls-cert", "--tls-key", "--tls-client-ca", "--tls-min-version":
      try setTransport(flag, value)
    case "--pool":
      let pool = try Pool(parsing: value)
      if pools.contains(where: { $0.name == pool.name }) {
        throw Problem("--pool '\(value)': the name '\(pool.name)' is taken by another --pool")
      }
      pools.append(pool)
    case "--compress-replies":
      guard let policy = ReplyCompressionPolicy(rawValue: value) else {
        throw Problem("--compress-replies '\(value)': must be none, mirror, gzip or deflate")
      }
      replyCompression = policy
    case _ where AnalysisOptions.flags.contains(flag): try analysis.set(flag, value)
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
}

extension Arguments.Problem {
  init(_ description: String) { self.description = description }
}
