import Glibc
import Testing

// Several addresses of one name, without a name server: by the list that a look-up would give.
@testable import UVLoop

@Suite("connecting")
struct ConnectTests {
  /// What an attempt came to. Turns the loop until it is known.
  private func outcome(
    on loop: EventLoop, _ start: (@escaping (Result<ByteStream, UVError>) -> Void) throws -> Void
  ) throws -> Result<ByteStream, UVError> {
    var outcome: Result<ByteStream, UVError>?
    try start { outcome = $0 }
    // Never from within the call that began it.
    #expect(outcome == nil)
    while outcome == nil, loop.runOneTurn() {}
    return try #require(outcome)
  }

  @Test("a name's addresses are tried in turn, and the first that answers is taken")
  func inTurn() throws {
    let loop = try EventLoop()
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) { $0.close() }
    guard case .tcp(_, let port) = try ListenAddress(parsing: listener.address) else { return }
    // Nobody listens at the first two; the second fails at once where there is no IPv6.
    let addresses = ["127.0.0.2", "::1", "127.0.0.1"].compactMap {
      SocketAddress.numeric(host: $0, port: port)
    }
    #expect(addresses.count == 3)
    let result = try outcome(on: loop) {
      try ConnectAttempt(on: loop, "connect", $0).start(with: addresses)
    }
    let stream = try result.get()
    #expect(stream.peerAddress == "127.0.0.1:\(port)")
    stream.close()
    listener.close()
    loop.run()
  }

  @Test("when no address answers, the last one's reason is told")
  func noneAnswers() throws {
    let loop = try EventLoop()
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) { _ in }
    guard case .tcp(_, let port) = try ListenAddress(parsing: listener.address) else { return }
    listener.close()
    let addresses = ["127.0.0.2", "127.0.0.1"].compactMap {
      SocketAddress.numeric(host: $0, port: port)
    }
    let result = try outcome(on: loop) {
      try ConnectAttempt(on: loop, "connect to x", $0).start(with: addresses)
    }
    guard case .failure(let error) = result else {
      Issue.record("connected to nobody")
      return
    }
    #expect(error.operation == "connect to x" && error.name == "ECONNREFUSED")
  }

  @Test("a name that cannot be looked up is an error that names it")
  func noSuchName() throws {
    let loop = try EventLoop()
    // Labels are not empty, so no name server is asked.
    let address = ListenAddress.tcp(host: "a..b", port: 1)
    let result = try outcome(on: loop) {
      try ByteStream.connect(to: address, on: loop, completion: $0)
    }
    guard case .failure(let error) = result else {
      Issue.record("connected to nobody")
      return
    }
    #expect(error.operation == "connect to a..b:1: look up the name")
  }

  @Test(
    "a cancelled attempt ends with ECANCELED",
    arguments: [
      .tcp(host: "localhost", port: 1), .tcp(host: "127.0.0.1", port: 1),
      .unix(path: "/nowhere/socket"),
    ] as [ListenAddress])
  func cancelled(address: ListenAddress) throws {
    let loop = try EventLoop()
    var attempt: ConnectAttempt?
    let result = try outcome(on: loop) {
      attempt = try ByteStream.connect(to: address, on: loop, completion: $0)
      attempt?.cancel()
    }
    guard case .failure(let error) = result else {
      Issue.record("connected although cancelled")
      return
    }
    #expect(error.name == "ECANCELED")
  }

  @Test("an abstract name with nobody behind it is refused at once")
  func nobodyAbstract() throws {
    let loop = try EventLoop()
    #expect(throws: UVError.self) {
      try ByteStream.connect(to: .abstract(name: "nobody-\(EventLoop.clock)"), on: loop) { _ in }
    }
  }

  @Test("a cancelled attempt on an abstract name ends with ECANCELED too")
  func cancelledAbstract() throws {
    let loop = try EventLoop()
    let address = ListenAddress.abstract(name: "quire-\(EventLoop.clock)")
    let listener = try StreamListener(on: loop, at: address) { $0.close() }
    let result = try outcome(on: loop) {
      try ByteStream.connect(to: address, on: loop, completion: $0).cancel()
    }
    #expect(throws: UVError("connect to \(address)", code: -ECANCELED)) { try result.get() }
    listener.close()
    loop.run()
  }

  @Test("a Unix path has the permissions asked for", arguments: [0o600, 0o660, 0o666] as [UInt32])
  func permissions(mode: UInt32) throws {
    let loop = try EventLoop()
    let path = "/tmp/quire-mode-\(EventLoop.clock).sock"
    let listener = try StreamListener(on: loop, at: .unix(path: path), unixMode: mode) { _ in }
    var information = stat()
    #expect(lstat(path, &information) == 0)
    #expect(information.st_mode == S_IFSOCK | mode)
    listener.close()
    #expect(lstat(path, &information) != 0)
  }

  @Test("a successor's socket is left alone when the predecessor goes")
  func successor() throws {
    let loop = try EventLoop()
    let path = "/tmp/quire-heir-\(EventLoop.clock).sock"
    let first = try StreamListener(on: loop, at: .unix(path: path)) { _ in }
    unlink(path)
    let second = try StreamListener(on: loop, at: .unix(path: path)) { _ in }
    first.close()
    var information = stat()
    #expect(lstat(path, &information) == 0)
    second.close()
  }
}
