internal import AdminHTTP
internal import BlockService
internal import UVLoop

/// The dashboards that are open: each hears of its pool as often as `DashboardData` looks at it.
final class LookStreams {
  private struct Watcher {
    let pool: String
    let stream: ServerSentStream
  }

  private let data: DashboardData
  private let loop: EventLoop
  private var watchers: [Watcher] = []
  private var timer: LoopTimer?

  init(_ data: DashboardData, on loop: EventLoop) {
    self.data = data
    self.loop = loop
  }

  func add(_ stream: ServerSentStream, pool: String) {
    watchers.append(Watcher(pool: pool, stream: stream))
    stream.onEnd = { [unowned self, unowned stream] in
      watchers.removeAll { $0.stream === stream }
      if watchers.isEmpty { self.timer?.stop() }
    }
    tell(watchers[watchers.count - 1])
    let timer =
      self.timer ?? LoopTimer(on: loop) { [unowned self] in for one in watchers { tell(one) } }
    self.timer = timer
    timer.keepsLoopRunning(false)
    if !timer.isRunning {
      let interval = DashboardData.lookMilliseconds * 1_000_000
      timer.start(afterNanoseconds: interval, repeating: interval)
    }
  }

  /// Nothing for one that has not read what came before.
  private func tell(_ watcher: Watcher) {
    guard watcher.stream.isDrained else { return }
    if let look = data.look(watcher.pool) {
      watcher.stream.send(event: "look", data: look)
    } else {
      watcher.stream.send(event: "gone", data: "{}")
      watcher.stream.finish()
    }
  }
}
