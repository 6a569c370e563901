internal import KVBlocks

/// The operations of the command at hand, in memory that is reused from command to command.
///
/// What `FlatList` is for plain values; an `Operation` is one in fact, without saying so to other
/// modules. Grows, never shrinks.
struct OperationList: ~Copyable {
  private var base: UnsafeMutablePointer<Operation>
  private(set) var count = 0
  private var capacity: Int

  init(minimumCapacity: Int) {
    precondition(minimumCapacity > 0, "a list needs room")
    capacity = minimumCapacity
    base = .allocate(capacity: capacity)
  }

  deinit {
    base.deinitialize(count: count)
    base.deallocate()
  }

  /// Borrowed: valid until the list changes.
  var elements: UnsafeBufferPointer<Operation> { .init(start: base, count: count) }

  subscript(index: Int) -> Operation {
    precondition(index >= 0 && index < count, "an operation outside its list")
    return base[index]
  }

  mutating func removeAll() {
    base.deinitialize(count: count)
    count = 0
  }

  mutating func append(_ operation: Operation) {
    if count == capacity { grow() }
    (base + count).initialize(to: operation)
    count += 1
  }

  private mutating func grow() {
    let moved = UnsafeMutablePointer<Operation>.allocate(capacity: capacity * 2)
    moved.moveInitialize(from: base, count: count)
    base.deallocate()
    base = moved
    capacity *= 2
  }
}
