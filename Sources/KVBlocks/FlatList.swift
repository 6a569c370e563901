/// A growing list of plain values in memory of its own. Never shrinks; elements must be trivial.
package struct FlatList<Element: BitwiseCopyable>: ~Copyable {
  package private(set) var base: UnsafeMutablePointer<Element>
  package private(set) var count: Int
  private var capacity: Int

  package init(minimumCapacity: Int = 16) {
    capacity = max(minimumCapacity, 1)
    base = .allocate(capacity: capacity)
    count = 0
  }

  deinit { base.deallocate() }

  /// Borrowed: valid until the list grows.
  package var elements: UnsafeBufferPointer<Element> { .init(start: base, count: count) }

  package func elements(_ slice: Slice32) -> UnsafeBufferPointer<Element> {
    precondition(Int(slice.start) + Int(slice.count) <= count, "a slice outside its list")
    return .init(start: base + Int(slice.start), count: Int(slice.count))
  }

  package mutating func removeAll() { count = 0 }

  package mutating func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    (base + count).initialize(to: element)
    count += 1
  }

  /// Room for `n` more elements at the end, which the caller fills before anything else reads it.
  package mutating func extend(by n: Int) -> UnsafeMutablePointer<Element> {
    if count + n > capacity { grow(to: count + n) }
    let room = base + count
    count += n
    return room
  }

  package mutating func removeLast(_ n: Int) {
    precondition(n <= count, "removed more than there is")
    count -= n
  }

  package mutating func grow(to needed: Int) {
    guard needed > capacity else { return }
    let larger = max(capacity * 2, needed)
    let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
    moved.moveInitialize(from: base, count: count)
    base.deallocate()
    base = moved
    capacity = larger
  }

  package subscript(index: Int) -> Element {
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
