package import GRPCWire

/// `grpc.health.v1.Health`: Check, Watch and List over a table of service names that the program
/// sets. The empty name stands for the server as a whole.
package final class HealthService {
  private enum Serving: UInt64 {
    case serving = 1
    case notServing = 2
    /// Only ever said by Watch.
    case serviceUnknown = 3
  }

  private static let prefix = "/grpc.health.v1.Health/"
  private var states: [String: Serving] = [:]
  /// Watchers by the name they watch; a name need not be known (yet).
  private var watchers: [String: WatcherList] = [:]
  private var isEnding = false

  /// Registers the three methods; the table keeps the service alive. Nothing is serving until it is said to be.
  package init(_ table: ServiceTable) {
    table.unary(HealthService.prefix + "Check") { [self] request, reply, _ in
      check(request, reply)
    }
    table.unary(HealthService.prefix + "List") { [self] _, reply, _ in list(reply) }
    table.streaming(HealthService.prefix + "Watch", isClientStreaming: false) {
      [self] responses, _ in HealthWatcher(self, responses)
    }
  }

  /// Sets a service's state and tells those who watch it, if it changed.
  package func setServing(_ service: String, _ isServing: Bool) {
    let state: Serving = isServing ? .serving : .notServing
    if states.updateValue(state, forKey: service) == state { return }
    for watcher in watchers[service]?.all ?? [] { watcher.send(HealthService.response(state)) }
  }

  /// Whether it was said to be serving.
  package func isServing(_ service: String) -> Bool { states[service] == .serving }

  /// The first step of a graceful stop: every known service stops serving, and those who watch are
  /// told so and let go, because a Watch that never ends would hold up the stop for its whole grace.
  package func end() {
    isEnding = true
    for service in states.keys.sorted() { setServing(service, false) }
    let all = watchers.values.flatMap { $0.all }
    watchers = [:]
    for watcher in all { watcher.end() }
  }

  private func check(_ request: UnsafeRawBufferPointer, _ reply: any ReplyWriter) -> Status {
    guard let service = HealthService.service(in: request) else {
      return Status(.internal, "malformed HealthCheckRequest")
    }
    if service == HealthService.tooLong {
      return Status(.notFound, "no service has a name of over \(HealthService.longestName) bytes")
    }
    guard let state = states[service] else {
      return Status(.notFound, "unknown service '\(service)'")
    }
    reply.write(HealthService.response(state))
    return .ok
  }

  private func list(_ reply: any ReplyWriter) -> Status {
    var writer = ProtoWriter()
    for (service, state) in states.sorted(by: { $0.key < $1.key }) {
      writer.message(1) {
        $0.string(1, service)
        $0.bytes(2, HealthService.response(state))
      }
    }
    reply.write(writer.bytes)
    return .ok
  }

  fileprivate func watch(_ service: String, _ watcher: HealthWatcher) {
    let state = HealthService.response(states[service] ?? .serviceUnknown)
    if isEnding {
      watcher.send(state)
      return watcher.end()
    }
    let list = watchers[service] ?? WatcherList()
    watchers[service] = list
    // Before it is told: that can be the end of its call.
    list.add(watcher)
    watcher.send(state)
  }

  fileprivate func forget(_ service: String, _ watcher: HealthWatcher) {
    guard let list = watchers[service] else { return }
    list.remove(watcher)
    if list.all.isEmpty { watchers[service] = nil }
  }

  /// The longest name that a service may have here. Longer ones are not even read: they would be kept as
  /// long as somebody watches them.
  private static let longestName = 256
  /// What a longer name is taken for: no service has this one.
  private static let tooLong = "\0"

  /// `HealthCheckRequest{1: service}`; nil when malformed.
  fileprivate static func service(in request: UnsafeRawBufferPointer) -> String? {
    var reader = ProtoReader(request)
    var service = ""
    while let (number, value) = reader.next() {
      if number == 1, case .bytes(let bytes) = value {
        service =
          bytes.count > longestName ? tooLong : String(decoding: bytes, as: UTF8.self)
      }
    }
    return reader.isMalformed ? nil : service
  }

  /// `HealthCheckResponse{1: status}`.
  private static func response(_ state: Serving) -> [UInt8] {
    var writer = ProtoWriter()
    writer.varint(1, state.rawValue)
    return writer.bytes
  }
}

/// Those who watch one name. Each knows its place, so that a connection that ends with a thousand Watch
/// calls does not cost a search for each among everybody's.
private final class WatcherList {
  private(set) var all: [HealthWatcher] = []

  func add(_ watcher: HealthWatcher) {
    watcher.place = all.count
    all.append(watcher)
  }

  /// Nothing for one that is not there. O(1); the last one takes its place.
  func remove(_ watcher: HealthWatcher) {
    guard let place = watcher.place, all[place] === watcher else { return }
    watcher.place = nil
    let last = all.removeLast()
    if last === watcher { return }
    all[place] = last
    last.place = place
  }
}

/// One Watch call: stays open whatever the state is, until the server ends.
private final class HealthWatcher: RequestStream {
  private unowned let health: HealthService
  private let responses: any ResponseStream
  private var service: String?
  /// In the list of those who watch the same name.
  var place: Int?

  init(_ health: HealthService, _ responses: any ResponseStream) {
    self.health = health
    self.responses = responses
  }

  func received(_ message: UnsafeRawBufferPointer) {
    guard let service = HealthService.service(in: message) else {
      responses.finish(Status(.internal, "malformed HealthCheckRequest"))
      return
    }
    self.service = service
    health.watch(service, self)
  }

  func send(_ response: [UInt8]) { responses.send(response) }
  func end() { responses.finish(Status(.unavailable, "the server is shutting down")) }
  func halfClosed() {}
  func drained() {}
  func cancelled(_ status: Status) {
    if let service { health.forget(service, self) }
  }
}

extension ReplyWriter {
  func write(_ bytes: [UInt8]) {
    let place = message(byteCount: bytes.count)
    bytes.withUnsafeBytes { source in
      if let base = source.baseAddress { place.copyMemory(from: base, byteCount: source.count) }
    }
  }
}

extension ResponseStream {
  func send(_ bytes: [UInt8]) {
    send(byteCount: bytes.count) { place in
      bytes.withUnsafeBytes { source in
        if let base = source.baseAddress { place.copyMemory(from: base, byteCount: source.count) }
      }
    }
  }
}
