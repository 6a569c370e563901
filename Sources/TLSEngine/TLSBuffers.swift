/// What all sessions of one thread share, so that an idle connection keeps none of it: room for one
/// record's plaintext, and the ciphertext that is about to be sent.
///
/// Whoever calls a session's method sends what it appended, from the `count` before to the `count`
/// after, and takes it out again by `truncate` before another session can run. A call may so happen
/// within another one, as when the handler of one connection's bytes closes another.
package final class TLSBuffers {
  /// The plaintext of a record (RFC 8446, 5.1).
  static let recordBytes = 16_384
  let plaintext = UnsafeMutableRawBufferPointer.allocate(byteCount: recordBytes, alignment: 64)

  private var base: UnsafeMutableRawPointer?
  private var capacity = 0
  /// Bytes of ciphertext to be sent.
  package private(set) var count = 0
  /// Memory kept while there is nothing to send.
  private static let keptBytes = 1 << 20

  package init() {}

  deinit {
    plaintext.deallocate()
    base?.deallocate()
  }

  /// The ciphertext from `mark` on, until the next method.
  package func bytes(from mark: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + mark }, count: count - mark)
  }

  /// Forgets the ciphertext from `mark` on.
  package func truncate(to mark: Int) {
    precondition(mark <= count, "ciphertext forgotten twice")
    count = mark
    if mark == 0, capacity > TLSBuffers.keptBytes {
      base?.deallocate()
      base = nil
      capacity = 0
    }
  }

  func append(_ source: UnsafeRawPointer, _ size: Int) {
    if count + size > capacity { grow(to: count + size) }
    (base.unsafelyUnwrapped + count).copyMemory(from: source, byteCount: size)
    count += size
  }

  private func grow(to least: Int) {
    let larger = max(2 * capacity, least, 2 * TLSBuffers.recordBytes)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 64)
    if let base {
      moved.copyMemory(from: base, byteCount: count)
      base.deallocate()
    }
    base = moved
    capacity = larger
  }
}
