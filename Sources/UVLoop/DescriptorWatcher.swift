internal import CUV

/// Sole owner of one `uv_poll_t`: runs its closure on the loop while a descriptor of somebody else's
/// has something to read. For libraries that bring an epoll descriptor of their own; the descriptor
/// stays theirs, and outlives this. The handle's lifetime is as in `LoopTimer`.
package final class DescriptorWatcher {
  private let raw: UnsafeMutablePointer<uv_poll_t>
  private let onReadable: () -> Void

  /// Watches from now on.
  package init(
    on loop: EventLoop, descriptor: Int32, onReadable: @escaping () -> Void
  ) throws(UVError) {
    self.onReadable = onReadable
    let raw = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
    let status = uv_poll_init(loop.raw, raw, descriptor)
    guard status == 0 else {
      raw.deallocate()
      throw UVError("watch descriptor \(descriptor)", code: status)
    }
    self.raw = raw
    raw.pointee.data = Unmanaged.passUnretained(self).toOpaque()
    // From here on a throw runs deinit, which closes the handle.
    try UVError.check(
      uv_poll_start(raw, CInt(UV_READABLE.rawValue)) { handle, _, _ in
        // An error shows itself to whoever reads the descriptor.
        Unmanaged<DescriptorWatcher>.fromOpaque(handle!.pointee.data).takeUnretainedValue()
          .onReadable()
      }, "watch descriptor \(descriptor)")
  }

  deinit {
    uv_close(handlePointer(raw)) { handle in  // Stops watching now; frees it once libuv let go.
      UnsafeMutableRawPointer(handle!).assumingMemoryBound(to: uv_poll_t.self).deallocate()
    }
  }

  /// Whether it keeps `run()` from returning; it does until told otherwise.
  package func keepsLoopRunning(_ keeps: Bool) {
    if keeps { uv_ref(handlePointer(raw)) } else { uv_unref(handlePointer(raw)) }
  }
}
