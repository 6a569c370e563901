/// How a map spreads its keys. Where keys are the clients' choice, who knows this can choose them so
/// that all meet in one place; so the program that hosts the pool draws it and passes it in. Of no
/// influence on what a map says, and no part of a pool's state.
package struct MapSecret: BitwiseCopyable, Sendable {
  let a: UInt64
  let b: UInt64

  /// Without arguments: numbers that anyone may know, for pools whose keys nobody chooses.
  package init(_ a: UInt64 = 0xA076_1D64_78BD_642F, _ b: UInt64 = 0xE703_7ED1_A0B4_28DB) {
    self.a = a
    self.b = b
  }
}

/// An open-addressing map from a 64-bit and a 32-bit key to a number above 0, in memory of its own.
///
/// Linear probing, deletion by shifting back (no tombstones), at most 3/4 full. 16 bytes an entry.
/// Lookups never allocate. The order of entries is no part of a pool's state: nothing iterates over
/// a map except to count or to check.
final class WideMap {
  /// Which of a pool's maps this is, for the undo log.
  enum Identity: UInt8, BitwiseCopyable {
    case sessions, sequences, holds, copies, chains, swaps, pinNames, pinHeads, pinHolds
    case reservations
  }

  struct Entry: BitwiseCopyable {
    var a: UInt64
    var b: UInt32
    /// 0 = empty.
    var value: UInt32
  }

  private(set) var count = 0
  private var entries: UnsafeMutablePointer<Entry>
  private var mask: Int
  private let identity: Identity
  private let undo: UndoLog
  private let secret: MapSecret

  init(
    _ identity: Identity, undo: UndoLog, secret: MapSecret = MapSecret(),
    minimumCapacity: Int = 64
  ) {
    self.identity = identity
    self.undo = undo
    self.secret = secret
    var size = 64
    while size < minimumCapacity { size *= 2 }
    mask = size - 1
    entries = .allocate(capacity: size)
    entries.initialize(repeating: Entry(a: 0, b: 0, value: 0), count: size)
  }

  deinit { entries.deallocate() }

  /// wyhash's step, with the map's own secrets.
  private func home(_ a: UInt64, _ b: UInt32) -> Int {
    let factor = (secret.b &+ UInt64(b) &* 0xC2B2_AE3D_27D4_EB4F) | 1
    let product = (a ^ secret.a).multipliedFullWidth(by: factor)
    return Int(truncatingIfNeeded: product.high ^ product.low) & mask
  }

  /// The place of the key, or of the empty entry where it would go.
  private func place(_ a: UInt64, _ b: UInt32) -> Int {
    var i = home(a, b)
    while entries[i].value != 0 {
      if entries[i].a == a && entries[i].b == b { return i }
      i = (i + 1) & mask
    }
    return i
  }

  /// The key's number; 0 when it has none.
  func value(_ a: UInt64, _ b: UInt32) -> UInt32 { entries[place(a, b)].value }

  /// Gives the key a number; 0 takes it away.
  func set(_ a: UInt64, _ b: UInt32, to value: UInt32) {
    var i = place(a, b)
    if undo.isRecording {
      undo.mapEntries.append(.init(map: identity, a: a, b: b, value: entries[i].value))
    }
    if value == 0 {
      if entries[i].value != 0 { remove(at: i) }
    } else if entries[i].value != 0 {
      entries[i].value = value
    } else {
      if (count + 1) * 4 > (mask + 1) * 3 {
        grow()
        i = place(a, b)
      }
      entries[i] = Entry(a: a, b: b, value: value)
      count += 1
    }
  }

  func removeAll() {
    for i in 0...mask { entries[i].value = 0 }
    count = 0
  }

  func forEach(_ body: (Entry) -> Void) {
    for i in 0...mask where entries[i].value != 0 { body(entries[i]) }
  }

  /// Longest stretch of places in use, which bounds a lookup. O(capacity).
  var longestRun: Int {
    var longest = 0
    var run = 0
    // Twice round, for a stretch may go over the end; the map is never full.
    for i in 0...(2 * mask + 1) {
      run = entries[i & mask].value == 0 ? 0 : run + 1
      longest = max(longest, run)
    }
    return longest
  }

  private func remove(at index: Int) {
    var hole = index
    var i = index
    while true {
      i = (i + 1) & mask
      if entries[i].value == 0 { break }
      // An entry may move back into the hole only if its home is not between the two.
      let distanceFromHome = (i - home(entries[i].a, entries[i].b)) & mask
      if distanceFromHome < (i - hole) & mask { continue }
      entries[hole] = entries[i]
      hole = i
    }
    entries[hole].value = 0
    count -= 1
  }

  private func grow() {
    let old = entries
    let oldSize = mask + 1
    mask = oldSize * 2 - 1
    entries = .allocate(capacity: oldSize * 2)
    entries.initialize(repeating: Entry(a: 0, b: 0, value: 0), count: oldSize * 2)
    for i in 0..<oldSize where old[i].value != 0 { entries[place(old[i].a, old[i].b)] = old[i] }
    old.deallocate()
  }
}
