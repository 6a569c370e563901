/// libuv owned by Swift. This module owns every `uv_*` handle of the process: the loop, sockets,
/// timers and signals. It never parses a byte that it carries, and nothing in it may leave the
/// thread that runs the loop.
internal import CUV
internal import Glibc

/// Sole owner of one `uv_loop_t` and of the 64 KiB buffer into which all of its streams read.
///
/// Handles keep their loop alive. The loop frees itself once the last of them is gone.
package final class EventLoop {
  let raw: UnsafeMutablePointer<uv_loop_t>
  /// Where every stream's bytes land. Valid for the time of one read callback.
  let readBuffer: UnsafeMutableRawBufferPointer
  static var readBytes: Int { 65_536 }

  private let prepare: UnsafeMutablePointer<uv_prepare_t>
  private let check: UnsafeMutablePointer<uv_check_t>
  /// Runs while streams wait that may be read: with it the loop polls without sleeping.
  private let idle: UnsafeMutablePointer<uv_idle_t>
  /// Wakes a loop that could sleep while streams wait.
  private let pace: UnsafeMutablePointer<uv_timer_t>
  var bulk = BulkReading()
  private var hooks: [EndOfTurnHook] = []
  private var hooksBeingRun: [EndOfTurnHook] = []
  /// 0 = not read since the loop last slept.
  private var cachedNow: UInt64 = 0

  /// Makes a loop, and has the process ignore SIGPIPE: libuv writes with plain `write`, so the first
  /// peer that closes would otherwise end the process.
  package init() throws(UVError) {
    _ = signal(SIGPIPE, SIG_IGN)
    let raw = UnsafeMutablePointer<uv_loop_t>.allocate(capacity: 1)
    let status = uv_loop_init(raw)
    guard status == 0 else {
      raw.deallocate()
      throw UVError("uv_loop_init", code: status)
    }
    self.raw = raw
    readBuffer = .allocate(byteCount: EventLoop.readBytes, alignment: 64)
    prepare = .allocate(capacity: 1)
    check = .allocate(capacity: 1)
    idle = .allocate(capacity: 1)
    pace = .allocate(capacity: 1)
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    // These only fill in fields; libuv documents them as always succeeding.
    uv_prepare_init(raw, prepare)
    uv_check_init(raw, check)
    uv_idle_init(raw, idle)
    uv_timer_init(raw, pace)
    uv_prepare_start(prepare) { EventLoop.owner(of: $0!.pointee.loop).endTurn() }
    uv_check_start(check) {
      let loop = EventLoop.owner(of: $0!.pointee.loop)
      loop.endTurn()
      if !loop.bulk.isEmpty { loop.dealTurns() }
    }
    uv_unref(handlePointer(prepare))
    uv_unref(handlePointer(check))
    // The other two run while a stream waits, which is nothing else to libuv and keeps the loop running.
  }

  deinit {
    uv_close(handlePointer(prepare), nil)
    uv_close(handlePointer(check), nil)
    uv_close(handlePointer(idle), nil)
    uv_close(handlePointer(pace), nil)
    // Handles closed by their owners' deinit still wait for libuv to let go of them.
    while uv_run(raw, UV_RUN_NOWAIT) != 0 {}
    let status = uv_loop_close(raw)
    precondition(status == 0, "an event loop was dropped while a handle was open")
    prepare.deallocate()
    check.deallocate()
    idle.deallocate()
    pace.deallocate()
    readBuffer.deallocate()
    raw.deallocate()
  }

  static func owner(of raw: UnsafeMutablePointer<uv_loop_t>) -> EventLoop {
    Unmanaged<EventLoop>.fromOpaque(raw.pointee.data).takeUnretainedValue()
  }

  /// Runs until `stop()` or until no open handle is left that keeps a loop running (signal sources
  /// do not).
  package func run() { uv_run(raw, UV_RUN_DEFAULT) }

  private var isRunningOneTurn = false

  /// Runs one turn. With `waiting` it sleeps until something happens. False when nothing is left
  /// that could.
  @discardableResult
  package func runOneTurn(waiting: Bool = true) -> Bool {
    isRunningOneTurn = true
    defer { isRunningOneTurn = false }
    return uv_run(raw, waiting ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0
  }

  /// A timer that is due when a turn begins fires before libuv polls, and the poll would then sleep
  /// until something else happens, although something has: a stopped loop polls without sleeping.
  func timerFired() {
    if isRunningOneTurn { uv_stop(raw) }
  }

  /// Makes `run()` return at the end of the present turn.
  package func stop() { uv_stop(raw) }

  /// Nanoseconds of the monotonic clock, read at most once per turn: all that happens in one batch
  /// of events happens at one time.
  package var now: UInt64 {
    if cachedNow == 0 { cachedNow = uv_hrtime() }
    return cachedNow
  }

  /// Nanoseconds of the monotonic clock, read now.
  package static var clock: UInt64 { uv_hrtime() }

  /// Runs `hook` once when the present batch of events has been handled and before the loop sleeps.
  /// Asking again before it has run changes nothing.
  package func atEndOfTurn(_ hook: EndOfTurnHook) {
    if hook.isPending { return }
    hook.isPending = true
    hooks.append(hook)
  }

  /// A stream that filled the buffer is read again when its turn comes.
  func waitForTurn(_ turn: BulkReading.Turn) {
    bulk.wait(turn)
    uv_idle_start(idle) { _ in }
  }

  private func dealTurns() {
    for turn in bulk.next(at: EventLoop.clock) { turn.resume?() }
    // Who waits until the others are quiet needs no loop that does not sleep.
    if bulk.isEmpty {
      uv_idle_stop(idle)
      uv_timer_stop(pace)
    } else if bulk.isOpen {
      uv_idle_start(idle) { _ in }
    } else {
      uv_idle_stop(idle)
      if uv_is_active(handlePointer(pace)) == 0 {
        // libuv counts from the turn's beginning.
        uv_update_time(raw)
        uv_timer_start(
          pace,
          {
            let loop = EventLoop.owner(of: $0!.pointee.loop)
            loop.timerFired()
            // One that is due when a turn begins fires before the poll, which is then not to sleep.
            uv_idle_start(loop.idle) { _ in }
          }, 1, 0)
      }
    }
  }

  private func endTurn() {
    // A hook may ask for another turn at the end; it runs in this same pass.
    while !hooks.isEmpty {
      swap(&hooks, &hooksBeingRun)
      for hook in hooksBeingRun {
        hook.isPending = false
        hook.run?()
      }
      hooksBeingRun.removeAll(keepingCapacity: true)
    }
    cachedNow = 0
  }
}

/// Work to be done once per batch of events, made once and scheduled many times without allocation.
package final class EndOfTurnHook {
  fileprivate var isPending = false
  fileprivate var run: (() -> Void)?

  package init(_ run: @escaping () -> Void) { self.run = run }

  /// Does nothing any more, even if it is pending: its owner is going.
  package func cancel() { run = nil }
}

/// libuv's handle structs all begin with the fields of `uv_handle_t`; its API upcasts by pointer.
@inline(__always)
func handlePointer<T>(_ pointer: UnsafeMutablePointer<T>) -> UnsafeMutablePointer<uv_handle_t> {
  UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: uv_handle_t.self)
}
