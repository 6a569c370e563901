/// Numbers 1, 2, 3 ... in the order of a rank each: a binary heap that knows where each one is.
///
/// The order is by (`rank`, `tie`), ascending; ties are given out once, so the order is total and the
/// shape of the heap, which depends on its past, is no part of a pool's state. Entering, leaving and
/// moving O(log n), the first O(1). 24 bytes a number, allocated up front.
///
/// With an undo log every word is noted before it changes; such a heap must not grow. Without one,
/// its owner rebuilds it after a rollback.
final class RankedHeap {
  private(set) var count = 0
  /// From 0: the numbers in the order of a heap.
  private var items: UnsafeMutablePointer<UInt32>
  /// By number: its place + 1; 0 = it is not in the heap.
  private var places: UnsafeMutablePointer<UInt32>
  /// By number: rank and tie.
  private var keys: UnsafeMutablePointer<UInt64>
  private var capacity: Int
  private let undo: UndoLog?

  /// Bytes for each number.
  static let bytesPerItem = 2 * MemoryLayout<UInt32>.stride + 2 * MemoryLayout<UInt64>.stride

  /// For the numbers 1 ... `capacity`.
  init(capacity: Int, undo: UndoLog?) {
    self.capacity = capacity
    self.undo = undo
    items = .allocate(capacity: capacity + 1)
    items.initialize(repeating: 0, count: capacity + 1)
    places = .allocate(capacity: capacity + 1)
    places.initialize(repeating: 0, count: capacity + 1)
    keys = .allocate(capacity: 2 * (capacity + 1))
    keys.initialize(repeating: 0, count: 2 * (capacity + 1))
  }

  deinit {
    items.deallocate()
    places.deallocate()
    keys.deallocate()
  }

  func removeAll() {
    for i in 0..<count { places[Int(items[i])] = 0 }
    count = 0
  }

  /// Room for one number more than there is.
  func reserve(_ item: UInt32) {
    if Int(item) <= capacity { return }
    precondition(undo == nil, "a heap grew whose words are noted")
    let larger = max(capacity * 2, Int(item))
    items = Self.grown(items, capacity + 1, to: larger + 1)
    places = Self.grown(places, capacity + 1, to: larger + 1)
    keys = Self.grown(keys, 2 * (capacity + 1), to: 2 * (larger + 1))
    capacity = larger
  }

  private static func grown<T: BitwiseCopyable & FixedWidthInteger>(
    _ old: UnsafeMutablePointer<T>, _ count: Int, to size: Int
  ) -> UnsafeMutablePointer<T> {
    let new = UnsafeMutablePointer<T>.allocate(capacity: size)
    new.moveInitialize(from: old, count: count)
    (new + count).initialize(repeating: 0, count: size - count)
    old.deallocate()
    return new
  }

  // MARK: Looking

  /// 0 where the heap is empty.
  var first: UInt32 { count == 0 ? 0 : items[0] }

  func contains(_ item: UInt32) -> Bool { places[Int(item)] != 0 }

  /// Of a number that is in the heap.
  func rank(of item: UInt32) -> UInt64 { keys[2 * Int(item)] }
  func tie(of item: UInt32) -> UInt64 { keys[2 * Int(item) + 1] }

  @inline(__always)
  private func precedes(_ a: UInt32, _ b: UInt32) -> Bool {
    let x = keys + 2 * Int(a)
    let y = keys + 2 * Int(b)
    return x[0] != y[0] ? x[0] < y[0] : x[1] < y[1]
  }

  // MARK: Changing

  func insert(_ item: UInt32, rank: UInt64, tie: UInt64) {
    precondition(places[Int(item)] == 0, "entered a heap twice")
    set(keys + 2 * Int(item), rank)
    set(keys + 2 * Int(item) + 1, tie)
    let place = count
    count += 1
    rise(item, from: place)
  }

  func remove(_ item: UInt32) {
    precondition(places[Int(item)] != 0, "left a heap that it was not in")
    let hole = Int(places[Int(item)]) - 1
    set(places + Int(item), 0)
    count -= 1
    if hole == count { return }
    settle(items[count], at: hole)
  }

  /// A number takes over the key that another one left the heap with. Neither is in it.
  func inherit(_ item: UInt32, from other: UInt32) {
    precondition(places[Int(item)] == 0 && places[Int(other)] == 0, "gave away a key in use")
    set(keys + 2 * Int(item), rank(of: other))
    set(keys + 2 * Int(item) + 1, tie(of: other))
  }

  /// A number that is in the heap has another rank; its tie stays.
  func move(_ item: UInt32, to rank: UInt64) {
    precondition(places[Int(item)] != 0, "moved in a heap that it was not in")
    set(keys + 2 * Int(item), rank)
    settle(item, at: Int(places[Int(item)]) - 1)
  }

  private func settle(_ item: UInt32, at place: Int) {
    if place > 0 && precedes(item, items[(place - 1) / 2]) {
      rise(item, from: place)
    } else {
      sink(item, from: place)
    }
  }

  private func rise(_ item: UInt32, from start: Int) {
    var place = start
    while place > 0 {
      let above = items[(place - 1) / 2]
      if !precedes(item, above) { break }
      put(above, at: place)
      place = (place - 1) / 2
    }
    put(item, at: place)
  }

  private func sink(_ item: UInt32, from start: Int) {
    var place = start
    while 2 * place + 1 < count {
      var child = 2 * place + 1
      if child + 1 < count && precedes(items[child + 1], items[child]) { child += 1 }
      if !precedes(items[child], item) { break }
      put(items[child], at: place)
      place = child
    }
    put(item, at: place)
  }

  private func put(_ item: UInt32, at place: Int) {
    set(items + place, item)
    set(places + Int(item), UInt32(place + 1))
  }

  private func set(_ place: UnsafeMutablePointer<UInt32>, _ value: UInt32) {
    undo?.note(place)
    place.pointee = value
  }

  private func set(_ place: UnsafeMutablePointer<UInt64>, _ value: UInt64) {
    undo?.note(place)
    place.pointee = value
  }

  // MARK: Undo

  /// The words are in the undo log; this is the rest.
  func restore(count: Int) { self.count = count }

  // MARK: Checking

  /// What is wrong with the heap; nil when nothing is. O(capacity).
  func check() -> String? {
    for i in 0..<count {
      let item = items[i]
      if Int(places[Int(item)]) != i + 1 { return "\(item) does not know its place in the heap" }
      if i > 0 && !precedes(items[(i - 1) / 2], item) { return "\(item) is too deep in the heap" }
    }
    var inside = 0
    for item in 1...max(capacity, 1) where places[item] != 0 { inside += 1 }
    return inside == count ? nil : "\(inside) numbers say that they are in a heap of \(count)"
  }
}
