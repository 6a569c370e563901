import Foundation
import Testing
import UVLoop

/// Keeps what arrives; may send it back.
private final class Recorder: ByteStreamHandler {
  let stream: ByteStream
  var echoes = false
  var bytes: [UInt8] = []
  var hasEnded = false
  var error: UVError?
  var drains = 0
  var onChange: () -> Void = {}

  init(_ stream: ByteStream) {
    self.stream = stream
    stream.handler = self
    stream.startReading()
  }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) {
    self.bytes.append(contentsOf: bytes)
    if echoes { #expect(stream.write(bytes)) }
    onChange()
  }

  func streamDidEnd(_ error: UVError?) {
    hasEnded = true
    self.error = error
    stream.close()
    onChange()
  }

  func streamDidDrain() {
    drains += 1
    onChange()
  }
}

@Suite("byte streams")
struct ByteStreamTests {
  private static func temporaryPath() -> String {
    FileManager.default.temporaryDirectory.appendingPathComponent("uv-\(UUID().uuidString)").path
  }

  private func echo(at address: ListenAddress) throws {
    let loop = try EventLoop()
    var accepted: Recorder?
    let listener = try StreamListener(on: loop, at: address) {
      accepted = Recorder($0)
      accepted?.echoes = true
    }
    let actual = try ListenAddress(parsing: listener.address)
    if case .tcp(_, let port) = actual { #expect(port != 0) }
    let sent = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    var client: Recorder?
    var wasQueued = false
    try ByteStream.connect(to: actual, on: loop) { result in
      guard case .success(let stream) = result else {
        Issue.record("\(result)")
        return
      }
      let recorder = Recorder(stream)
      client = recorder
      recorder.onChange = {
        if recorder.bytes.count == sent.count {
          recorder.stream.close()
          listener.close()
        }
      }
      #expect(sent.withUnsafeBytes(stream.write))
      wasQueued = stream.writeQueueSize > 0
    }
    loop.run()
    #expect(client?.bytes == sent)
    // Whether the kernel takes all of it at once depends on its settings.
    #expect(client?.drains == (wasQueued ? 1 : 0))
    #expect(accepted?.hasEnded == true && accepted?.error == nil)
    client?.onChange = {}
  }

  @Test("three megabytes come back over TCP")
  func tcp() throws { try echo(at: .tcp(host: "127.0.0.1", port: 0)) }

  @Test("three megabytes come back over a Unix socket, whose path goes with the listener")
  func unix() throws {
    let path = ByteStreamTests.temporaryPath()
    try echo(at: .unix(path: path))
    #expect(!FileManager.default.fileExists(atPath: path))
  }

  @Test("three megabytes come back over an abstract name")
  func abstract() throws { try echo(at: .abstract(name: "quire-\(UUID().uuidString)")) }

  @Test("localhost resolves")
  func localhost() throws { try echo(at: .tcp(host: "localhost", port: 0)) }

  @Test("a dead server's socket is taken over, a live one's is not")
  func staleSocket() throws {
    let path = ByteStreamTests.temporaryPath()
    defer { unlink(path) }
    // Bound and dropped without removing the path, as a killed server leaves it.
    let orphan = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(orphan, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    #expect(bound == 0)
    close(orphan)

    let loop = try EventLoop()
    let first = try StreamListener(on: loop, at: .unix(path: path)) { _ in }
    #expect(throws: UVError.self) {
      try StreamListener(on: loop, at: .unix(path: path)) { _ in }
    }
    first.close()
  }

  @Test("a file that is no socket is left alone")
  func notASocket() throws {
    let path = ByteStreamTests.temporaryPath()
    try Data("keep".utf8).write(to: URL(fileURLWithPath: path))
    defer { unlink(path) }
    let loop = try EventLoop()
    #expect(throws: UVError.self) {
      try StreamListener(on: loop, at: .unix(path: path)) { _ in }
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "keep")
  }

  @Test("a refused connection is reported with its address")
  func refused() throws {
    let loop = try EventLoop()
    let listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) { _ in }
    let address = try ListenAddress(parsing: listener.address)
    listener.close()
    var failure: UVError?
    try ByteStream.connect(to: address, on: loop) {
      if case .failure(let error) = $0 { failure = error }
    }
    loop.run()
    #expect(failure?.operation == "connect to \(address)")
    #expect(failure?.name == "ECONNREFUSED")
  }

  @Test("a port in use is an error that names it")
  func inUse() throws {
    let loop = try EventLoop()
    let first = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) { _ in }
    let address = try ListenAddress(parsing: first.address)
    do throws(UVError) {
      _ = try StreamListener(on: loop, at: address) { _ in }
      Issue.record("listened twice")
    } catch {
      #expect(error.name == "EADDRINUSE")
    }
    first.close()
  }

  @Test("writing to a peer that has gone is an error, not the end of the process")
  func brokenPipe() throws {
    let loop = try EventLoop()
    var listener: StreamListener?
    var server: Recorder?
    listener = try StreamListener(on: loop, at: .tcp(host: "127.0.0.1", port: 0)) {
      $0.close()
      listener?.close()
    }
    try ByteStream.connect(to: try ListenAddress(parsing: listener!.address), on: loop) {
      if case .success(let stream) = $0 { server = Recorder(stream) }
    }
    loop.run()
    #expect(server?.hasEnded == true)
    #expect([1].withUnsafeBytes { server!.stream.write($0) } == false)
  }
}
