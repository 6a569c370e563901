/// A growable run of bytes outside of Swift's heap objects: no reference counts, no exclusivity
/// checks. A first-in first-out queue when read from the front. The owner frees it.
struct RawBuffer {
  private(set) var base: UnsafeMutableRawPointer?
  private(set) var head = 0
  private(set) var tail = 0
  private(set) var capacity = 0

  var count: Int { tail - head }
  var isEmpty: Bool { tail == head }
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base.map { $0 + head }, count: count)
  }

  /// Room for `size` more bytes at the end, to be filled at once.
  @inline(__always)
  mutating func append(_ size: Int) -> UnsafeMutableRawPointer {
    // Not `>`: an empty buffer has no place to name, even for nothing.
    if tail &+ size >= capacity { makeRoom(size) }
    let place = base.unsafelyUnwrapped + tail
    tail &+= size
    return place
  }

  mutating func append(_ source: UnsafeRawBufferPointer) {
    if source.isEmpty { return }
    append(source.count).copyMemory(from: source.baseAddress!, byteCount: source.count)
  }

  @inline(never)
  private mutating func makeRoom(_ size: Int) {
    let used = count
    if let base, used + size < capacity, head >= capacity / 2 {
      // Amortised: what is moved is no more than what was read since the last move.
      base.copyMemory(from: base + head, byteCount: used)
    } else {
      var larger = max(256, capacity)
      while larger <= used + size { larger *= 2 }
      let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
      if let base {
        moved.copyMemory(from: base + head, byteCount: used)
        base.deallocate()
      }
      base = moved
      capacity = larger
    }
    head = 0
    tail = used
  }

  @inline(__always)
  mutating func dropFirst(_ size: Int) {
    head += size
    if head == tail {
      head = 0
      tail = 0
    }
  }

  /// Takes back the last `size` bytes that were appended.
  mutating func dropLast(_ size: Int) { tail -= size }

  /// Forgets the contents and keeps at most `keeping` bytes of memory.
  @inline(__always)
  mutating func removeAll(keeping: Int) {
    head = 0
    tail = 0
    if capacity > keeping { free() }
  }

  mutating func free() {
    base?.deallocate()
    base = nil
    head = 0
    tail = 0
    capacity = 0
  }
}
