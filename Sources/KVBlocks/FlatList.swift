/// A growing list of plain values in memory of its own. Never shrinks; elements must be trivial.
public struct FlatList<Element: BitwiseCopyable>: ~Copyable {
  public internal(set) var base: UnsafeMutablePointer<Element>
  public internal(set) var count: Int
  internal var capacity: Int

  public init(minimumCapacity: Int = 16) {
    capacity = max(minimumCapacity, 1)
    base = .allocate(capacity: capacity)
    count = 0
  }

  deinit { base.deallocate() }

  /// Bytes that it has, used or not.
  public var memory: Int { capacity * MemoryLayout<Element>.stride }

  /// Borrowed: valid until the list grows.
  public var elements: UnsafeBufferPointer<Element> { .init(start: base, count: count) }

  public func elements(_ slice: Slice32) -> UnsafeBufferPointer<Element> {
    precondition(Int(slice.start) + Int(slice.count) <= count, "a slice outside its list")
    return .init(start: base + Int(slice.start), count: Int(slice.count))
  }

  public mutating func removeAll() { count = 0 }

  /// The same, and gives memory of more than `bytes` back: what one huge use took is not kept for
  /// small ones.
  public mutating func removeAll(keepingAtMost bytes: Int) {
    count = 0
    if capacity * MemoryLayout<Element>.stride <= bytes { return }
    base.deallocate()
    capacity = 1
    base = .allocate(capacity: capacity)
  }

  @inline(__always)
  public mutating func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    (base + count).initialize(to: element)
    count += 1
  }

  /// Where `hasRoom` said so.
  @inline(__always)
  mutating func appendWithin(_ element: Element) {
    assert(count < capacity, "appended beyond the room of a list")
    (base + count).initialize(to: element)
    count &+= 1
  }

  /// Whether `n` more elements fit without growing.
  @inline(__always)
  func hasRoom(for n: Int) -> Bool { capacity &- count >= n }

  /// Room for `n` more elements at the end, which the caller fills before anything else reads it.
  @inline(__always)
  public mutating func extend(by n: Int) -> UnsafeMutablePointer<Element> {
    if count + n > capacity { grow(to: count + n) }
    let room = base + count
    count += n
    return room
  }

  /// O(elements that stay).
  public mutating func removeFirst(_ n: Int) {
    precondition(n <= count, "removed more than there is")
    base.update(from: base + n, count: count - n)
    count -= n
  }

  public mutating func removeLast(_ n: Int) {
    precondition(n <= count, "removed more than there is")
    count -= n
  }

  @inline(never)
  public mutating func grow(to needed: Int) {
    guard needed > capacity else { return }
    let larger = max(capacity * 2, needed)
    let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
    moved.moveInitialize(from: base, count: count)
    base.deallocate()
    base = moved
    capacity = larger
  }

  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "an index outside its list")
      return base[index]
    }
    set {
      precondition(index >= 0 && index < count, "an index outside its list")
      base[index] = newValue
    }
  }
}
