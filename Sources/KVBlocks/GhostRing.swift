/// What was evicted lately, by a fingerprint of its content: a ring of bounded size, oldest first, and
/// a table to find things in it. Memory is taken up front: 8 bytes an entry and up to 11 for the table.
///
/// A fingerprint that comes again while it is there is entered again, and found in its newer place.
final class GhostRing {
  private let capacity: Int
  /// Fingerprints; 0 for an entry that was taken out.
  private let ring: UnsafeMutablePointer<UInt64>
  /// Open addressing: place in the ring + 1; 0 = empty.
  private let table: UnsafeMutablePointer<UInt32>
  private let mask: Int
  private let undo: UndoLog
  private let secret: MapSecret
  private(set) var ends = Ends()

  struct Ends: BitwiseCopyable {
    /// Where the next one goes, and how many places are in use.
    var next: UInt32 = 0
    var used: UInt32 = 0
  }

  init(capacity: Int, secret: MapSecret, undo: UndoLog) {
    self.secret = secret
    self.capacity = capacity
    self.undo = undo
    var size = 16
    while size * 3 < capacity * 4 { size *= 2 }
    mask = size - 1
    ring = .allocate(capacity: capacity)
    ring.initialize(repeating: 0, count: capacity)
    table = .allocate(capacity: size)
    table.initialize(repeating: 0, count: size)
  }

  var memory: Int {
    capacity * MemoryLayout<UInt64>.stride + (mask + 1) * MemoryLayout<UInt32>.stride
  }

  deinit {
    ring.deallocate()
    table.deallocate()
  }

  func removeAll() {
    ring.update(repeating: 0, count: capacity)
    table.update(repeating: 0, count: mask + 1)
    ends = Ends()
  }

  func restore(_ ends: Ends) { self.ends = ends }

  private func named(_ content: UInt64) -> UInt64 { content == 0 ? 1 : content }

  /// Clients choose what blocks hold, so the secret spreads the fingerprints.
  private func home(_ content: UInt64) -> Int {
    let product = (content ^ secret.a).multipliedFullWidth(by: secret.b | 1)
    return Int(truncatingIfNeeded: product.high ^ product.low) & mask
  }

  private func place(_ content: UInt64) -> Int {
    var i = home(content)
    while table[i] != 0 && ring[Int(table[i]) - 1] != content { i = (i + 1) & mask }
    return i
  }

  func insert(_ content: UInt64) {
    let content = named(content)
    remove(content)
    let slot = Int(ends.next)
    if ring[slot] != 0 { remove(ring[slot]) }
    set(ring + slot, content)
    set(table + place(content), UInt32(slot) + 1)
    ends.next = slot + 1 == capacity ? 0 : ends.next + 1
    ends.used = min(ends.used + 1, UInt32(capacity))
  }

  /// Whether it was there.
  @discardableResult
  func remove(_ content: UInt64) -> Bool {
    let content = named(content)
    var hole = place(content)
    if table[hole] == 0 { return false }
    let slot = Int(table[hole]) - 1
    // Deletion by shifting back, as in `WideMap`.
    var i = hole
    while true {
      i = (i + 1) & mask
      if table[i] == 0 { break }
      let distance = (i - home(ring[Int(table[i]) - 1])) & mask
      if distance < (i - hole) & mask { continue }
      set(table + hole, table[i])
      hole = i
    }
    set(table + hole, 0)
    set(ring + slot, 0)
    return true
  }

  private func set(_ place: UnsafeMutablePointer<UInt64>, _ value: UInt64) {
    undo.note(place)
    place.pointee = value
  }

  private func set(_ place: UnsafeMutablePointer<UInt32>, _ value: UInt32) {
    undo.note(place)
    place.pointee = value
  }

  /// Entries from the oldest, gaps as 0: a gap takes a place until its turn comes.
  func write(to writer: StateWriter) {
    writer.u32(ends.used)
    for i in 0..<ends.used {
      let slot = (Int(ends.next) + capacity - Int(ends.used) + Int(i)) % capacity
      writer.u64(ring[slot])
    }
  }

  func read(from reader: inout StateReader) throws(StateFailure) {
    let used = try reader.count("ghosts", bytesEach: 8)
    if Int(used) > capacity { throw reader.failure("\(used) ghosts are too many") }
    for _ in 0..<used {
      let content = try reader.u64()
      if content == 0 {
        ends.next = Int(ends.next) + 1 == capacity ? 0 : ends.next + 1
        ends.used += 1
      } else {
        if table[place(content)] != 0 { throw reader.failure("a ghost comes twice") }
        insert(content)
      }
    }
  }

  func check() -> String? {
    var known = 0
    for i in 0..<capacity where ring[i] != 0 {
      known += 1
      if table[place(ring[i])] != UInt32(i) + 1 { return "a ghost is not found" }
    }
    var entries = 0
    for i in 0...mask where table[i] != 0 { entries += 1 }
    return known == entries ? nil : "the ghosts are counted wrongly"
  }
}
