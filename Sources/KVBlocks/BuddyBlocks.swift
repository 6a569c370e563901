/// Aligned runs of powers of two: an allocation takes the smallest that holds it, the lowest of that
/// size, and what comes back merges with its neighbour as far as it goes. Of an allocation that is no
/// power of two the rest stays taken until all of it is given back (`BlockPool.takeRun`).
///
/// A set of free runs for each order; which they are follows from the free blocks alone. O(log blocks)
/// a block.
final class BuddyBlocks: FreeBlocks {
  /// By order: the free runs of that size that are not half of a larger one, by their number.
  private let orders: UnsafeMutablePointer<Bitmap>
  private let orderCount: Int

  init(capacity: UInt32, records: UnsafeMutablePointer<BlockRecord>, undo: UndoLog) {
    orderCount = 32 - capacity.leadingZeroBitCount
    orders = .allocate(capacity: orderCount)
    for order in 0..<orderCount {
      (orders + order).initialize(to: Bitmap(count: Int(capacity) >> order))
    }
    super.init(needsRuns: true, capacity: capacity, records: records, undo: undo)
  }

  deinit {
    for order in 0..<orderCount { orders[order].deallocate() }
    orders.deallocate()
  }

  /// The order of the smallest run that holds `count`.
  static func order(of count: UInt32) -> Int { 32 - (count - 1).leadingZeroBitCount }

  override func rounded(_ count: UInt32) -> UInt32 {
    count > 1 << 31 ? .max : 1 << UInt32(Self.order(of: count))
  }

  override func insert(_ id: BlockID, after last: BlockID) {
    var run = Int(id) - 1
    var order = 0
    while run ^ 1 < orders[order].count && orders[order].contains(run ^ 1) {
      orders[order].remove(run ^ 1)
      run >>= 1
      order += 1
    }
    orders[order].insert(run)
  }

  override func remove(_ id: BlockID) { remove(Int(id) - 1, order: 0) }

  override func removeRun(_ start: BlockID, _ count: UInt32) {
    remove(Int(start) - 1, order: Self.order(of: count))
  }

  /// Takes the aligned run out of the one that it is a part of, whose other parts stay.
  private func remove(_ start: Int, order: Int) {
    var whole = order
    while !orders[whole].contains(start >> whole) { whole += 1 }
    orders[whole].remove(start >> whole)
    while whole > order {
      whole -= 1
      orders[whole].insert(start >> whole ^ 1)
    }
  }

  override func run(of count: UInt32, _ searched: inout UInt64) -> BlockID? {
    var order = Self.order(of: count)
    while order < orderCount {
      if let run = orders[order].first(from: 0) { return BlockID(run << order + 1) }
      order += 1
    }
    return 0
  }

  override var longestRun: UInt32? {
    for order in (0..<orderCount).reversed() where orders[order].first(from: 0) != nil {
      return 1 << UInt32(order)
    }
    return 0
  }

  override func mayBegin(at start: BlockID, _ count: UInt32) -> Bool? {
    let order = Self.order(of: count)
    let first = Int(start) - 1
    if order >= orderCount || first & (1 << order - 1) != 0 { return false }
    for whole in order..<orderCount
    where first >> whole < orders[whole].count && orders[whole].contains(first >> whole) {
      return true
    }
    return false
  }

  override func insertAll() {
    for order in 0..<orderCount { orders[order].removeAll() }
    var start = 0
    for order in (0..<orderCount).reversed() where Int(capacity) >> order & 1 == 1 {
      orders[order].insert(start >> order)
      start += 1 << order
    }
  }

  override func restored(_ id: BlockID) {
    let isMember = contains(Int(id) - 1)
    if isFree(id) == isMember { return }
    if isMember { remove(id) } else { insert(id, after: 0) }
  }

  private func contains(_ place: Int) -> Bool {
    for order in 0..<orderCount
    where place >> order < orders[order].count && orders[order].contains(place >> order) {
      return true
    }
    return false
  }

  override func list() -> [BlockID] {
    (1...capacity).filter { contains(Int($0) - 1) }
  }

  override func check() -> String? {
    for order in 0..<orderCount {
      var place = 0
      while let run = orders[order].first(from: place) {
        if run ^ 1 < orders[order].count && orders[order].contains(run ^ 1) {
          return "two runs of order \(order) are not merged"
        }
        for id in run << order..<(run + 1) << order where !isFree(BlockID(id + 1)) {
          return "block \(id + 1) is in a free run of order \(order)"
        }
        place = run + 1
      }
    }
    return nil
  }

  override var memory: Int { (0..<orderCount).reduce(0) { $0 + orders[$1].memory } }
}
