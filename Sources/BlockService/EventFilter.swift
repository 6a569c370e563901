internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// Makes a batch without what a subscriber does not want, of the bytes of one that has it.
///
/// The bytes are our own and are read as such: what they cannot be is a bug and traps.
struct EventFilter: ~Copyable {
  /// The batch as a message with its prefix.
  private(set) var bytes = FlatList<UInt8>(minimumCapacity: 4_096)

  private static let prefixBytes = 5
  /// `KvEventBatch.events`, and in a `KvEvent` a kind: fields of a length.
  private static let eventTag = UInt8(MessagePacker.eventsField << 3 | 2)
  /// `BlockStored.token_ids`.
  private static let tokenIDsTag: UInt8 = 3 << 3 | 2

  /// - Parameter headerCount: Bytes of the batch up to its events, prefix included.
  mutating func filter(
    _ batch: UnsafeRawBufferPointer, headerCount: Int, _ wanted: EventContents
  ) {
    bytes.removeAll()
    append(UnsafeRawBufferPointer(rebasing: batch[..<headerCount]))
    var cursor = Cursor(UnsafeRawBufferPointer(rebasing: batch[headerCount...]))
    while !cursor.isAtEnd {
      let begin = cursor.rest
      let tag = cursor.byte()
      precondition(tag == Self.eventTag, "a batch with something behind its events")
      let event = cursor.part()
      var kind = Cursor(event)
      let kindTag = kind.byte()
      guard let what = EventKind(rawValue: UInt32(kindTag >> 3)) else {
        preconditionFailure("an event of no kind")
      }
      switch what {
      case .stored where !wanted.contains(.tokenIDs): addStored(kind.part(), tag: kindTag)
      case .stored, .removed, .cleared: append(begin.upTo(cursor.rest))
      case .forked, .copied, .moved, .copiesRemoved:
        if wanted.contains(.moreKinds) { append(begin.upTo(cursor.rest)) }
      }
    }
    MessageFramer.writePrefix(
      bytes.count - Self.prefixBytes, to: UnsafeMutableRawPointer(bytes.base))
  }

  /// A `BlockStored` without its token ids.
  private mutating func addStored(_ stored: UnsafeRawBufferPointer, tag: UInt8) {
    var cursor = Cursor(stored)
    var before = stored
    var after = UnsafeRawBufferPointer(start: nil, count: 0)
    while !cursor.isAtEnd {
      let begin = cursor.rest
      if cursor.skipField() == Self.tokenIDsTag {
        before = stored.upTo(begin)
        after = cursor.rest
      }
    }
    let count = before.count + after.count
    appendPrefix(
      Self.eventTag, 1 + ForwardWriter.byteCount(ofVarint: UInt64(count)) + count)
    appendPrefix(tag, count)
    append(before)
    append(after)
  }

  private mutating func append(_ part: UnsafeRawBufferPointer) {
    guard let source = part.baseAddress else { return }
    UnsafeMutableRawPointer(bytes.extend(by: part.count))
      .copyMemory(from: source, byteCount: part.count)
  }

  private mutating func appendPrefix(_ tag: UInt8, _ count: Int) {
    let length = 1 + ForwardWriter.byteCount(ofVarint: UInt64(count))
    var writer = ForwardWriter(at: UnsafeMutableRawPointer(bytes.extend(by: length)))
    writer.byte(tag)
    writer.varint(UInt64(count))
  }

  private struct Cursor {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 {
      let value = rest[rest.startIndex]
      rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
      return value
    }

    mutating func varint() -> Int {
      var value = 0
      var shift = 0
      while true {
        let byte = byte()
        value |= Int(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
    }

    /// What a length stands before.
    mutating func part() -> UnsafeRawBufferPointer {
      let count = varint()
      defer { rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count)) }
      return UnsafeRawBufferPointer(rebasing: rest[..<count])
    }

    /// Returns its tag; tags of the fields of an event are single bytes.
    mutating func skipField() -> UInt8 {
      let tag = byte()
      switch tag & 7 {
      case 0: _ = varint()
      case 1: rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(8))
      case 2: _ = part()
      default: preconditionFailure("an event with a field of another wire type")
      }
      return tag
    }
  }
}

extension UnsafeRawBufferPointer {
  /// The part of it that comes before `rest`, which is its end.
  fileprivate func upTo(_ rest: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: self[..<(count - rest.count)])
  }
}
