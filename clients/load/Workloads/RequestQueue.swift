/// A double-ended queue of request numbers in a ring: arrivals join at the back, the preempted return
/// to the front.
struct RequestQueue {
  private var ring: [Int32] = Array(repeating: 0, count: 16)
  private var head = 0
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }

  /// The request at `position`, 0 being the head of the line.
  subscript(position: Int) -> Int32 {
    precondition(position >= 0 && position < count, "a position outside the queue")
    return ring[(head + position) & (ring.count - 1)]
  }

  mutating func append(_ request: Int32) {
    growIfFull()
    ring[(head + count) & (ring.count - 1)] = request
    count += 1
  }

  mutating func prepend(_ request: Int32) {
    growIfFull()
    head = (head - 1) & (ring.count - 1)
    ring[head] = request
    count += 1
  }

  mutating func removeFirst() -> Int32 {
    let request = self[0]
    head = (head + 1) & (ring.count - 1)
    count -= 1
    return request
  }

  /// O(count).
  mutating func remove(_ request: Int32) {
    let kept = (0..<count).map { self[$0] }.filter { $0 != request }
    count = 0
    for request in kept { append(request) }
  }

  private mutating func growIfFull() {
    guard count == ring.count else { return }
    let elements = (0..<count).map { self[$0] }
    ring = elements + Array(repeating: 0, count: count)  // A power of two stays one.
    head = 0
  }
}
