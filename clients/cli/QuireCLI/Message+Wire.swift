internal import GRPCWire

extension Message {
  /// Fields and elements of a message, nested ones included, at most: the largest reply that there is,
  /// the table of a sequence that holds ten million blocks, has fewer. A few bytes of nested messages
  /// may stand for hundreds of fields, so it is these that are counted.
  static let mostValues = 16 << 20

  /// - Returns: nil when the bytes are no such message, or more than is believed. Fields that the
  ///   contract here does not know, a newer server's, are passed over.
  package init?(_ name: String, decoding bytes: UnsafeRawBufferPointer) {
    var left = Self.mostValues
    self.init(at: Contract.shared.place(of: name), decoding: bytes, &left)
  }

  // Recurses as deep as the contract nests, which no sender can change.
  private init?(at place: Int, decoding bytes: UnsafeRawBufferPointer, _ left: inout Int) {
    left -= Contract.shared.messages[place].fields.count
    if left < 0 { return nil }
    self.init(at: place)
    let type = type
    var lists: [Int: [Value]] = [:]
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      guard let index = type.placeOfNumber[number] else { continue }
      let field = type.fields[index]
      if field.isList {
        guard Self.append(value, field.kind, to: &lists[index, default: []], &left) else {
          return nil
        }
      } else {
        guard let value = Self.read(value, field.kind, &left) else { return nil }
        values[index] = value
      }
    }
    if reader.isMalformed { return nil }
    for (index, list) in lists { values[index] = .list(list) }
  }

  private static func read(
    _ value: ProtoReader.Value, _ kind: Contract.Field.Kind, _ left: inout Int
  ) -> Value? {
    switch (kind, value) {
    case (.unsigned, .varint(let value)): .number(value)
    // As every reader does: so that sums of such numbers stay in 64 bits, whatever comes.
    case (.short, .varint(let value)): .number(UInt64(UInt32(truncatingIfNeeded: value)))
    case (.signed, .varint(let value)): .signed(Int64(bitPattern: value))
    case (.zigzag, .varint(let value)):
      .signed(Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1))
    case (.flag, .varint(let value)): .flag(value != 0)
    case (.word(let words), .varint(let value)):
      .word(UInt32(truncatingIfNeeded: value), words)
    case (.fixed32, .fixed32(let value)): .number(UInt64(value))
    case (.fixed64, .fixed64(let value)): .number(value)
    case (.real, .fixed64(let value)): .real(Double(bitPattern: value))
    case (.text, .bytes(let bytes)): .text(String(decoding: bytes, as: UTF8.self))
    case (.bytes, .bytes(let bytes)): .bytes(Array(bytes))
    case (.message(let place), .bytes(let bytes)):
      Message(at: place, decoding: bytes, &left).map { .message($0) }
    default: nil
    }
  }

  /// Numbers of a list come packed, or one by one.
  private static func append(
    _ value: ProtoReader.Value, _ kind: Contract.Field.Kind, to list: inout [Value],
    _ left: inout Int
  ) -> Bool {
    guard case .bytes(var bytes) = value else {
      left -= 1
      guard left >= 0, let element = read(value, kind, &left) else { return false }
      list.append(element)
      return true
    }
    switch kind {
    case .text, .bytes, .message:
      left -= 1
      guard left >= 0, let element = read(value, kind, &left) else { return false }
      list.append(element)
    case .fixed32:
      left -= bytes.count / 4
      guard left >= 0, bytes.count % 4 == 0 else { return false }
      for offset in stride(from: 0, to: bytes.count, by: 4) {
        let word = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        list.append(.number(UInt64(UInt32(littleEndian: word))))
      }
    case .fixed64, .real:
      left -= bytes.count / 8
      guard left >= 0, bytes.count % 8 == 0 else { return false }
      for offset in stride(from: 0, to: bytes.count, by: 8) {
        let word = UInt64(
          littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        list.append(kind == .real ? .real(Double(bitPattern: word)) : .number(word))
      }
    case .unsigned, .short, .signed, .zigzag, .flag, .word:
      while !bytes.isEmpty {
        left -= 1
        guard left >= 0, let number = takeVarint(&bytes),
          let element = read(.varint(number), kind, &left)
        else {
          return false
        }
        list.append(element)
      }
    }
    return true
  }

  private static func takeVarint(_ bytes: inout UnsafeRawBufferPointer) -> UInt64? {
    var number: UInt64 = 0
    for (index, byte) in bytes.prefix(10).enumerated() {
      number |= UInt64(byte & 0x7F) << UInt64(7 * index)
      if byte < 0x80 {
        bytes = UnsafeRawBufferPointer(rebasing: bytes.dropFirst(index + 1))
        return number
      }
    }
    return nil
  }

  /// The message's bytes, fields in ascending order, defaults left out.
  package var encoded: [UInt8] {
    var writer = ProtoWriter()
    write(to: &writer)
    return writer.bytes
  }

  private func write(to writer: inout ProtoWriter) {
    for (field, value) in zip(type.fields, values) {
      if case .list(let elements) = value {
        Self.write(elements, field, to: &writer)
      } else {
        Self.write(value, field, to: &writer)
      }
    }
  }

  private static func write(
    _ value: Value, _ field: Contract.Field, to writer: inout ProtoWriter, isElement: Bool = false
  ) {
    let number = field.number
    // In a oneof, and in a list, a 0 says something.
    let isTold = field.isMember || isElement
    func varint(_ value: UInt64) {
      if isTold { writer.setVarint(number, value) } else { writer.varint(number, value) }
    }
    switch value {
    case .absent: break
    case .number(let value):
      switch field.kind {
      case .fixed64: if isTold || value != 0 { writer.fixed64(number, value) }
      case .fixed32: if isTold || value != 0 { writer.fixed32(number, UInt32(value)) }
      default: varint(value)
      }
    case .signed(let value):
      varint(
        field.kind == .zigzag
          ? UInt64(bitPattern: value << 1 ^ value >> 63) : UInt64(bitPattern: value))
    case .real(let value):
      if isTold || value != 0 { writer.fixed64(number, value.bitPattern) }
    case .flag(let value): varint(value ? 1 : 0)
    case .word(let code, _): varint(UInt64(code))
    case .text(let text): if isTold || !text.isEmpty { writer.bytes(number, text.utf8) }
    case .bytes(let bytes): if isTold || !bytes.isEmpty { writer.bytes(number, bytes) }
    case .message(let message): writer.message(number) { message.write(to: &$0) }
    case .list: preconditionFailure("a list in a list")
    }
  }

  /// One by one: every reader of packed numbers takes them so, too.
  private static func write(
    _ elements: [Value], _ field: Contract.Field, to writer: inout ProtoWriter
  ) {
    for element in elements { write(element, field, to: &writer, isElement: true) }
  }
}
