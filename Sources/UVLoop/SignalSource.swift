internal import CUV
internal import Glibc

/// Sole owner of one `uv_signal_t`: runs its closure on the loop when the process gets the signal.
/// Does not keep the loop running. The handle's lifetime is as in `LoopTimer`.
package final class SignalSource {
  private let loop: EventLoop
  private let raw: UnsafeMutablePointer<uv_signal_t>
  private let onSignal: () -> Void

  package init(
    on loop: EventLoop, signal number: Int32, onSignal: @escaping () -> Void
  ) throws(UVError) {
    let raw = UnsafeMutablePointer<uv_signal_t>.allocate(capacity: 1)
    let status = uv_signal_init(loop.raw, raw)
    guard status == 0 else {
      raw.deallocate()
      throw UVError("uv_signal_init", code: status)
    }
    self.loop = loop
    self.raw = raw
    self.onSignal = onSignal
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    // A parent may have had it blocked, as the worker threads of test runners do.
    var heeded = sigset_t()
    sigemptyset(&heeded)
    sigaddset(&heeded, number)
    pthread_sigmask(SIG_UNBLOCK, &heeded, nil)
    try UVError.check(
      uv_signal_start(
        raw,
        { handle, _ in
          let source = Unmanaged<SignalSource>.fromOpaque(handle!.pointee.data)
            .takeUnretainedValue()
          source.onSignal()
        }, number), "watch signal \(number)")
    uv_unref(handlePointer(raw))
  }

  deinit {
    uv_close(handlePointer(raw)) { handle in
      UnsafeMutableRawPointer(handle!).assumingMemoryBound(to: uv_signal_t.self).deallocate()
    }
  }
}
