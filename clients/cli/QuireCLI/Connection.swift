internal import ForeignText
internal import GRPCClient
internal import GRPCWire
internal import Glibc
internal import TLSEngine
internal import ToolSupport
internal import UVLoop

/// One connection to the server of an invocation; its calls wait for their answers.
final class Connection {
  private var server: ServerChoice
  private let channel: BlockingChannel

  /// Nanoseconds; an answer that takes longer ends the command.
  var timeout: UInt64 = 60_000_000_000

  init(_ server: ServerChoice) throws(Failure) {
    self.server = server
    let tls: TLSContext?
    do throws(UsageError) {
      tls = try server.tls.map { files throws(UsageError) in try files.context() }
    } catch {
      throw Failure(.usage, "\(error)")
    }
    var options = GRPCClientOptions()
    options.userAgent = "quire/\(QuireProgram.version)"
    options.maxResponseMessageBytes = 64 << 20
    do throws(BlockingChannelError) {
      channel = try BlockingChannel(target: server.target, options: options, tls: tls)
    } catch {
      throw Failure(.usage, "--target: \(error)")
    }
  }

  /// Of the requests to come.
  var pool: String {
    get { server.pool }
    set { server.pool = newValue }
  }

  /// A request with `call.pool` filled in.
  func request(_ name: String) -> Message {
    var call = Message("Call")
    call.set("pool", server.pool)
    var request = Message(name)
    request.set("call", call)
    return request
  }

  /// Makes one call of `quire.v1`, such as `Pools/GetPool`.
  func call(_ method: String, _ request: Message, reply: String) throws(Failure) -> Message {
    switch try answer(method, request, reply: reply) {
    case .success(let message): return message
    case .failure(let refused): throw explained(refused)
    }
  }

  /// The same, but what the server refuses is an answer: its status.
  func answer(
    _ method: String, _ request: Message, reply: String, service: String = "quire.v1."
  ) throws(Failure) -> Result<Message, Refused> {
    let (status, bytes) = channel.unary(
      "/\(service)\(method)", message: request.encoded, timeoutNanoseconds: timeout)
    guard status.code == .ok else { return .failure(try refused(method, status)) }
    guard let message = bytes.withUnsafeBytes({ Message(reply, decoding: $0) }) else {
      throw Failure(.unreachable, "\(server.target): \(method): the reply makes no sense")
    }
    return .success(message)
  }

  /// Hands over each message of a server's stream until it ends, `receive` wants no more, or somebody
  /// stops the program.
  func stream(
    _ method: String, _ request: Message, of name: String,
    receive: @escaping (Message) -> Bool
  ) throws(Failure) {
    var isNonsense = false
    var isEnough = false
    let interruption = try Interruption(self)
    let status = channel.serverStream(
      "/quire.v1.\(method)", message: request.encoded,
      until: {
        if interruption.isAsked { isEnough = true }
        return interruption.isAsked
      }
    ) { bytes in
      guard let message = Message(name, decoding: bytes) else {
        isNonsense = true
        return false
      }
      if !isEnough { isEnough = !receive(message) }
      return !isEnough
    }
    if isNonsense {
      throw Failure(.unreachable, "\(server.target): \(method): a message makes no sense")
    }
    if !isEnough, status.code != .ok { throw explained(try refused(method, status)) }
  }

  /// Lets time pass, or less of it where `isOver` comes true; the connection is looked after meanwhile.
  func wait(seconds: Double, until isOver: () -> Bool = { false }) {
    channel.wait(nanoseconds: UInt64(max(0, seconds) * 1e9), until: isOver)
  }

  /// Calls `handler` when the process gets the signal, as long as what is returned lives.
  func onSignal(
    _ number: Int32, _ handler: @escaping () -> Void
  ) throws(UVError) -> SignalSource {
    try SignalSource(on: channel.loop, signal: number, onSignal: handler)
  }

  func close() { channel.close() }

  /// In words; of a pool that is not there with those that are.
  private func explained(_ refused: Refused) -> Failure {
    var failure = refused.failure
    guard refused.status.code == .notFound, refused.status.message.contains("there is no pool")
    else {
      return failure
    }
    do throws(Failure) {
      let names = try pools().map { $0.text("name") }
      let known =
        names.isEmpty ? "the server has none" : "there are " + names.joined(separator: ", ")
      failure.message +=
        "; \(ForeignText.printable(known))" + Suggestion.hint(for: server.pool, among: names)
    } catch {
      // Without them, then.
    }
    return failure
  }

  /// What the server answered instead of a reply; what it could not answer is thrown.
  private func refused(_ method: String, _ status: Status) throws(Failure) -> Refused {
    switch status.code {
    case .unavailable, .deadlineExceeded, .unknown, .internal, .cancelled:
      let words = status.message.isEmpty ? "\(status.code)" : ForeignText.printable(status.message)
      throw Failure(
        .unreachable, words.contains(server.target) ? words : "\(server.target): \(words)")
    default:
      return Refused(method: method, status: status, target: server.target)
    }
  }
}

/// A call that the server refused.
struct Refused: Error {
  var method: String
  var status: Status
  var target: String

  /// Without `REFUSAL_REASON_`, such as `REVISION_MOVED`; nil where the server gave none.
  var reason: String? {
    status.trailers.first { $0.name == "quire-reason" }.map {
      $0.value
    }
  }

  var failure: Failure {
    let words = ForeignText.printable(status.message)
    if status.code == .unimplemented {
      return Failure(
        .refused, "\(target): \(method) is not served there: \(words); is the server older?")
    }
    return Failure(.refused, "\(words.isEmpty ? "\(status.code)" : words)")
  }
}

/// SIGINT and SIGTERM while a command goes on: the first one ends it as its count would, so that what is
/// under way is written; a second one, while a server does not answer, leaves at once.
final class Interruption {
  private(set) var isAsked = false
  private var signals: [SignalSource] = []

  init(_ connection: Connection) throws(Failure) {
    do throws(UVError) {
      for number in [SIGINT, SIGTERM] {
        signals.append(
          try connection.onSignal(number) { [unowned self] in
            if isAsked { exit(130) }
            isAsked = true
          })
      }
    } catch {
      throw Failure(.usage, "\(error)")
    }
  }
}
