import GRPCServer
import GRPCWire
import Testing
import UVLoop

/// Those who watch a service come and go without a transport: in numbers that a connection would not
/// bring about quickly.
@Suite("those who watch a service")
struct HealthWatchTests {
  private final class Watch: ResponseStream, CallContext {
    var stream: (any RequestStream)?
    var messages: [[UInt8]] = []
    let path = "/grpc.health.v1.Health/Watch"
    let deadlineNanoseconds: UInt64? = nil
    let peer = ""
    let queuedBytes = 0
    /// The call is cut off while it is sent something.
    var dies = false

    init(_ table: ServiceTable) {
      guard case .streaming(_, let make)? = table.methods[path] else { return }
      stream = make(self, self)
    }

    /// Watches the server as a whole.
    func begin() { stream?.received(UnsafeRawBufferPointer(start: nil, count: 0)) }
    func end() { stream?.cancelled(Status(.cancelled, "")) }
    func metadata(_ name: String) -> [[UInt8]] { [] }
    func finish(_ status: Status) {}
    func send(byteCount: Int, _ fill: (UnsafeMutableRawPointer) -> Void) {
      if dies { return end() }
      var bytes = [UInt8](repeating: 0, count: byteCount)
      bytes.withUnsafeMutableBytes { fill($0.baseAddress!) }
      messages.append(bytes)
    }
  }

  @Test("are told of changes until they go, in whatever order that is")
  func comeAndGo() {
    let table = ServiceTable()
    let health = HealthService(table)
    let watches = (0..<10).map { _ in Watch(table) }
    for watch in watches { watch.begin() }
    for index in [9, 0, 4, 8, 5] { watches[index].end() }
    health.setServing("", true)
    for index in [0, 4, 5, 8, 9] { #expect(watches[index].messages == [[8, 3]]) }
    for index in [1, 2, 3, 6, 7] { #expect(watches[index].messages == [[8, 3], [8, 1]]) }
    for index in [1, 7, 3, 2, 6] { watches[index].end() }
    health.setServing("", false)
    for watch in watches { #expect(watch.messages.count <= 2) }
  }

  /// A list that is searched for each takes minutes for these.
  @Test("cost the same to forget however many others there are", .timeLimit(.minutes(1)))
  func forget() {
    let table = ServiceTable()
    let health = HealthService(table)
    let watches = (0..<100_000).map { _ in Watch(table) }
    let began = EventLoop.clock
    for watch in watches { watch.begin() }
    for watch in watches { watch.end() }
    #expect(EventLoop.clock - began < 20_000_000_000)
    health.setServing("", true)
    #expect(watches.allSatisfy { $0.messages == [[8, 3]] })
  }

  @Test("are not kept when their first message is their end")
  func dyingAtOnce() {
    let table = ServiceTable()
    let health = HealthService(table)
    weak var stream: (any RequestStream)?
    do {
      let watch = Watch(table)
      watch.dies = true
      stream = watch.stream
      watch.begin()
      watch.stream = nil
    }
    #expect(stream == nil)
    health.setServing("", true)
  }
}
