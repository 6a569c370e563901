/// Why bytes are not the dump of a pool. Nothing was changed.
package struct StateFailure: Error, Equatable {
  package enum Kind: Equatable, Sendable {
    /// The bytes are no dump at all, or of a version that is not read.
    case notADump
    /// The bytes end early or go on too long.
    case wrongLength
    /// A bit of them is not what was written.
    case wrongChecksum
    /// They are what somebody wrote, and no pool is in that state.
    case invalid
  }

  package var kind: Kind
  /// What is wrong, and where: a sentence without a full stop.
  package var detail: String

  init(_ kind: Kind, _ detail: String) {
    self.kind = kind
    self.detail = detail
  }
}

/// Takes a dump apart, value by value, in the order in which `StateWriter` put it together.
///
/// Borrows the bytes. Never reads beyond them and never trusts them: whoever asks for a number says
/// what it may be. That the parts agree with each other is `checkInvariants`' to say.
struct StateReader: ~Copyable {
  private let bytes: UnsafeRawBufferPointer
  private(set) var position = 0
  private var section: StaticString = "head"

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var remaining: Int { bytes.count - position }

  /// Counters in a dump stay below this, so that a pool can go on counting.
  static let maximumCount: UInt64 = 1 << 62

  /// A failure at this place.
  func failure(_ problem: String) -> StateFailure {
    StateFailure(.invalid, "section \(section), before byte \(position): \(problem)")
  }

  mutating func section(_ name: StaticString) throws(StateFailure) {
    for i in 0..<4 {
      if remaining < 4 || bytes[position + i] != name.utf8Start[i] {
        throw failure("section \(name) should begin here")
      }
    }
    position += 4
    section = name
  }

  /// Whether this section begins here: of a part that is written only while there is something in it.
  func begins(_ name: StaticString) -> Bool {
    if remaining < 4 { return false }
    for i in 0..<4 where bytes[position + i] != name.utf8Start[i] { return false }
    return true
  }

  mutating func u8() throws(StateFailure) -> UInt8 { try take(UInt8.self) }
  mutating func u16() throws(StateFailure) -> UInt16 { UInt16(littleEndian: try take(UInt16.self)) }
  mutating func u32() throws(StateFailure) -> UInt32 { UInt32(littleEndian: try take(UInt32.self)) }
  mutating func u64() throws(StateFailure) -> UInt64 { UInt64(littleEndian: try take(UInt64.self)) }
  mutating func f64() throws(StateFailure) -> Double { Double(bitPattern: try u64()) }

  mutating func flag(_ what: StaticString) throws(StateFailure) -> Bool {
    let value = try u8()
    if value > 1 { throw failure("\(what) is \(value), must be 0 or 1") }
    return value == 1
  }

  /// A number between two limits, both included.
  mutating func u32(
    _ what: StaticString, _ least: UInt32 = 0, through most: UInt32
  ) throws(StateFailure) -> UInt32 {
    let value = try u32()
    if value < least || value > most {
      throw failure("\(what) is \(value), must be \(least)...\(most)")
    }
    return value
  }

  /// A slot below `count`, or `SequenceSlot.none`, which is the same number everywhere.
  mutating func slot(_ what: StaticString, below count: UInt32) throws(StateFailure) -> UInt32 {
    let value = try u32()
    if value != SequenceSlot.none && value >= count {
      throw failure("\(what) is slot \(value) of \(count)")
    }
    return value
  }

  mutating func counter(_ what: StaticString) throws(StateFailure) -> UInt64 {
    let value = try u64()
    if value > Self.maximumCount {
      throw failure("\(what) is \(value), must be at most \(Self.maximumCount)")
    }
    return value
  }

  /// The number of things to come, of which each takes at least `bytesEach` bytes.
  mutating func count(_ what: StaticString, bytesEach: Int) throws(StateFailure) -> UInt32 {
    let value = try u32()
    if Int(value) > remaining / bytesEach {
      throw failure("\(value) \(what) do not fit the \(remaining) bytes that are left")
    }
    return value
  }

  /// So many bytes, borrowed.
  mutating func raw(_ count: Int) throws(StateFailure) -> UnsafeBufferPointer<UInt8> {
    if count > remaining { throw failure("\(count) bytes are missing") }
    let start = bytes.baseAddress.map { ($0 + position).assumingMemoryBound(to: UInt8.self) }
    position += count
    return UnsafeBufferPointer(start: start, count: count)
  }

  /// What `StateWriter.list` wrote.
  mutating func list(
    _ what: StaticString, through most: UInt32
  ) throws(StateFailure) -> UnsafeBufferPointer<UInt8> {
    try raw(Int(try u32(what, through: most)))
  }

  private mutating func take<T: FixedWidthInteger & BitwiseCopyable>(
    _ type: T.Type
  ) throws(StateFailure) -> T {
    let size = MemoryLayout<T>.size
    if size > remaining { throw failure("\(size) bytes are missing") }
    defer { position += size }
    return bytes.loadUnaligned(fromByteOffset: position, as: T.self)
  }
}
