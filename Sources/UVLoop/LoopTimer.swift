internal import CUV

/// Sole owner of one `uv_timer_t`; the resolution is one millisecond.
///
/// libuv may touch the handle until its close callback has run, which can be after this object is
/// gone. So the handle lives in its own allocation, and the close callback, not `deinit`, frees it.
package final class LoopTimer {
  private let loop: EventLoop
  private let raw: UnsafeMutablePointer<uv_timer_t>
  private let onFire: () -> Void

  package init(on loop: EventLoop, onFire: @escaping () -> Void) {
    self.loop = loop
    self.onFire = onFire
    raw = .allocate(capacity: 1)
    uv_timer_init(loop.raw, raw)  // Always succeeds: it only fills in fields.
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
  }

  deinit {
    uv_close(handlePointer(raw)) { handle in  // Stops the timer now; frees it once libuv let go.
      UnsafeMutableRawPointer(handle!).assumingMemoryBound(to: uv_timer_t.self).deallocate()
    }
  }

  /// Fires once after `nanoseconds` (rounded up to a millisecond), then every `repeating` if that
  /// is not 0. Replaces what was set before.
  package func start(afterNanoseconds nanoseconds: UInt64, repeating: UInt64 = 0) {
    // libuv counts from the time of the turn's start; a long turn would make the timer early.
    uv_update_time(loop.raw)
    let status = uv_timer_start(
      raw,
      { timer in
        let owner = Unmanaged<LoopTimer>.fromOpaque(timer!.pointee.data).takeUnretainedValue()
        owner.loop.timerFired()
        owner.onFire()
      }, LoopTimer.milliseconds(nanoseconds), LoopTimer.milliseconds(repeating))
    precondition(status == 0, "uv_timer_start on a closing handle")
  }

  package func stop() { uv_timer_stop(raw) }

  /// Whether it is going to fire.
  package var isRunning: Bool { uv_is_active(handlePointer(raw)) != 0 }

  /// Whether the timer keeps `run()` from returning; it does until told otherwise.
  package func keepsLoopRunning(_ keeps: Bool) {
    if keeps { uv_ref(handlePointer(raw)) } else { uv_unref(handlePointer(raw)) }
  }

  private static func milliseconds(_ nanoseconds: UInt64) -> UInt64 {
    nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 == 0 ? 0 : 1)
  }
}
