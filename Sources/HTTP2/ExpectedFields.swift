/// Received fields that an owner knows beforehand, recognised as they come.
///
/// Most fields of most requests are the same few. Keeping them costs two copies and a look each; a field
/// that is expected costs some comparisons and leaves one bit. Names and values have at most 16 bytes, so
/// that two words tell them.
struct ExpectedFields {
  private struct Entry {
    var name: Words
    var value: Words
    var nameCount: Int
    /// -1 = any value will do.
    var valueCount: Int
  }

  /// A text of known length, at most 16 bytes, told by two words that may overlap.
  private struct Words: Equatable {
    var first: UInt64
    var last: UInt64

    @inline(__always)
    init(_ base: UnsafeRawPointer, _ count: Int) {
      if count >= 8 {
        first = base.loadUnaligned(as: UInt64.self)
        last = (base + count - 8).loadUnaligned(as: UInt64.self)
      } else if count >= 4 {
        first = UInt64(base.loadUnaligned(as: UInt32.self))
        last = UInt64((base + count - 4).loadUnaligned(as: UInt32.self))
      } else if count > 0 {
        first =
          UInt64(base.load(as: UInt8.self)) << 8
          | UInt64(base.load(fromByteOffset: count / 2, as: UInt8.self))
        last = UInt64(base.load(fromByteOffset: count - 1, as: UInt8.self))
      } else {
        first = 0
        last = 0
      }
    }
  }

  static let longest = 16
  private let entries: UnsafeMutablePointer<Entry>
  private let count: Int
  /// The bits of the fields that are worth remembering.
  let steady: UInt32
  /// By the length of a name, the number of its first entry.
  private let starts: UnsafeMutablePointer<UInt8>

  /// The field number `n` of `fields` has bit `n`. Those of one name come one after the other.
  init(_ fields: [HTTP2Options.ExpectedField]) {
    precondition(fields.count <= 32, "at most 32 expected fields")
    count = fields.count
    steady = fields.enumerated().reduce(0) { $1.element.varies ? $0 : $0 | 1 << UInt32($1.offset) }
    entries = .allocate(capacity: max(1, count))
    starts = .allocate(capacity: Self.longest + 1)
    starts.initialize(repeating: UInt8(count), count: Self.longest + 1)
    for (index, field) in fields.enumerated() {
      let length = field.name.utf8.count
      precondition(
        (1...Self.longest).contains(length) && (field.value?.utf8.count ?? 0) <= Self.longest,
        "an expected field is too long")
      let (name, value) = (Self.words(field.name), Self.words(field.value ?? ""))
      (entries + index).initialize(
        to: Entry(
          name: name, value: value, nameCount: length, valueCount: field.value?.utf8.count ?? -1))
      if Int(starts[length]) == count { starts[length] = UInt8(index) }
    }
  }

  func deallocate() {
    entries.deallocate()
    starts.deallocate()
  }

  private static func words(_ text: String) -> Words {
    var text = text
    return text.withUTF8 {
      Words(UnsafeRawPointer($0.baseAddress ?? UnsafePointer(bitPattern: 16)!), $0.count)
    }
  }

  /// The field's bit; 0 when it is not expected.
  @inline(__always)
  func bit(
    _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
  ) -> UInt32 {
    if nameCount > Self.longest { return 0 }
    let start = Int(starts[nameCount])
    return start == count ? 0 : search(from: start, name, nameCount, value, valueCount)
  }

  @inline(never)
  private func search(
    from start: Int, _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>,
    _ valueCount: Int
  ) -> UInt32 {
    let words = Words(UnsafeRawPointer(name), nameCount)
    for index in start..<count {
      let entry = entries + index
      guard entry.pointee.nameCount == nameCount, entry.pointee.name == words else { continue }
      let bit: UInt32 = 1 << UInt32(index)
      if entry.pointee.valueCount < 0 { return bit }
      if entry.pointee.valueCount == valueCount,
        entry.pointee.value == Words(UnsafeRawPointer(value), valueCount)
      {
        return bit
      }
    }
    return 0
  }
}
