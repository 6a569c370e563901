internal import BlockService
internal import GRPCServer
internal import Glibc
internal import UVLoop

// This program owns the command line, the log and the process's signals, and puts the modules
// together. It decides nothing about calls or blocks.

@main
enum Quired {
  /// The command line is wrong.
  static let usageCode: Int32 = 2

  static func main() {
    do throws(Arguments.Problem) {
      switch try Arguments.parse(Array(CommandLine.arguments.dropFirst())) {
      case .help: Output.write(Arguments.help + "\n", to: STDOUT_FILENO)
      case .version: Output.write("quired \(quireVersion)\n", to: STDOUT_FILENO)
      case .serve(let arguments): serve(arguments)
      }
    } catch {
      complain("\(error)\ntry 'quired --help'")
      exit(usageCode)
    }
  }

  private static func serve(_ arguments: Arguments) {
    let log = Log(level: arguments.logLevel, format: arguments.logFormat)
    raiseDescriptorLimit()
    let registry = PoolRegistry()
    for pool in arguments.pools {
      if let problem = registry.add(name: pool.name, pool.size) {
        complain("--pool '\(pool.name)': \(problem)")
        exit(usageCode)
      }
      let sizes = registry.pools.first { $0.name == pool.name }?.sizes ?? []
      log.write(.info, "pool", [("name", pool.name)] + sizes)
    }
    var options = arguments.limits
    options.replyCompression = arguments.replyCompression
    do throws(DaemonError) {
      let daemon = try Daemon.starting(registry, options, arguments, log)
      log.info("serving", ("version", quireVersion))
      daemon.run()
    } catch {
      complain("\(error)")
      exit(1)
    }
    exit(0)
  }

  /// Each connection needs a descriptor, and the usual soft limit of 1,024 is kept low only for
  /// programs that use select(2).
  private static func raiseDescriptorLimit() {
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }

  private static func complain(_ text: String) {
    Output.write("quired: \(text)\n", to: STDERR_FILENO)
  }
}
