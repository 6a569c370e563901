internal import BlockMessages
internal import GRPCWire

/// The messages that servers of ours understand, by name, as the descriptor set of the contract has them.
///
/// A client for people shows whatever a message holds, so it reads every message by one and the same
/// walk instead of by a view for each: a field that the contract gains is shown without a line here.
/// Names are those of the contract, without `quire.v1.` before them.
package final class Contract: Sendable {
  package static let shared = Contract(fileDescriptorSet())

  struct Field {
    enum Kind: Equatable {
      /// Of 64 and of 32 bits.
      case unsigned, short, signed, zigzag
      case fixed32, fixed64, real
      case flag, text, bytes
      /// Place in `words`.
      case word(Int)
      /// Place in `messages`.
      case message(Int)
    }

    var name: String
    var number: Int
    var kind: Kind
    var isList: Bool
    /// Member of a oneof: that it is not there differs from 0.
    var isMember: Bool
  }

  struct MessageType {
    var name: String
    /// In the order of their numbers.
    var fields: [Field]
    var placeOfName: [String: Int] = [:]
    var placeOfNumber: [Int: Int] = [:]
    /// What the fields of an empty message hold. One for all: a message that says nothing costs nothing.
    var defaults: [Value] = []
  }

  /// An enumeration.
  struct WordType {
    var name: String
    var names: [UInt32: String]
  }

  let messages: [MessageType]
  let words: [WordType]
  private let placeOfMessage: [String: Int]

  /// - Parameter set: A `google.protobuf.FileDescriptorSet`; ours, so that it is sound.
  private init(_ set: UnsafeRawBufferPointer) {
    var reader = DescriptorReader()
    reader.read(set)
    words = reader.words
    var places: [String: Int] = [:]
    for (place, message) in reader.messages.enumerated() { places[message.name] = place }
    var wordPlaces: [String: Int] = [:]
    for (place, word) in reader.words.enumerated() { wordPlaces[word.name] = place }
    messages = reader.messages.map { raw in
      var message = MessageType(name: raw.name, fields: [])
      for field in raw.fields.sorted(by: { $0.number < $1.number }) {
        let typeName = DescriptorReader.shortened(field.typeName)
        let kind: Field.Kind =
          switch field.type {
          case 1: .real
          case 3, 5: .signed
          case 4: .unsigned
          case 6: .fixed64
          case 7: .fixed32
          case 8: .flag
          case 9: .text
          case 11: .message(places[typeName]!)  // A descriptor set is closed under its references.
          case 12: .bytes
          case 13: .short
          case 14: .word(wordPlaces[typeName]!)
          case 17, 18: .zigzag
          default: preconditionFailure("a field type that the contract does not use")
          }
        message.placeOfName[field.name] = message.fields.count
        message.placeOfNumber[field.number] = message.fields.count
        message.fields.append(
          Field(
            name: field.name, number: field.number, kind: kind, isList: field.isList,
            isMember: field.isMember))
      }
      message.defaults = message.fields.map(Self.defaultValue)
      return message
    }
    placeOfMessage = places
  }

  private static func defaultValue(of field: Field) -> Value {
    if field.isList { return .list([]) }
    if field.isMember { return .absent }
    switch field.kind {
    case .unsigned, .short, .fixed32, .fixed64: return .number(0)
    case .signed, .zigzag: return .signed(0)
    case .real: return .real(0)
    case .flag: return .flag(false)
    case .text: return .text("")
    case .bytes: return .bytes([])
    case .word(let words): return .word(0, words)
    case .message: return .absent
    }
  }

  func place(of name: String) -> Int {
    guard let place = placeOfMessage[name] else {
      preconditionFailure("the contract has no message \(name)")
    }
    return place
  }
}

/// Reads a `FileDescriptorSet` as far as messages and enumerations go.
private struct DescriptorReader {
  struct RawField {
    var name = ""
    var number = 0
    var type: UInt64 = 0
    var typeName = ""
    var isList = false
    var isMember = false
  }

  private(set) var messages: [(name: String, fields: [RawField])] = []
  private(set) var words: [Contract.WordType] = []

  /// `.quire.v1.Stats` to `Stats`; others only lose their leading dot.
  static func shortened(_ name: String) -> String {
    let prefix = ".quire.v1."
    return String(name.hasPrefix(prefix) ? name.dropFirst(prefix.count) : name.dropFirst(1))
  }

  mutating func read(_ set: UnsafeRawBufferPointer) {
    for file in Self.parts(set, 1) {
      let package = Self.parts(file, 2).first.map(Self.string) ?? ""
      for message in Self.parts(file, 4) { read(message: message, in: "." + package) }
      for word in Self.parts(file, 5) { read(word: word, in: "." + package) }
    }
  }

  private mutating func read(message: UnsafeRawBufferPointer, in scope: String) {
    let name = scope + "." + (Self.parts(message, 1).first.map(Self.string) ?? "")
    messages.append((Self.shortened(name), Self.parts(message, 2).map(Self.field)))
    for nested in Self.parts(message, 3) { read(message: nested, in: name) }
    for word in Self.parts(message, 4) { read(word: word, in: name) }
  }

  private mutating func read(word: UnsafeRawBufferPointer, in scope: String) {
    let name = scope + "." + (Self.parts(word, 1).first.map(Self.string) ?? "")
    var names: [UInt32: String] = [:]
    for value in Self.parts(word, 2) {
      var number: UInt32 = 0
      var reader = ProtoReader(value)
      while let field = reader.next() {
        if field.number == 2, case .varint(let value) = field.value {
          number = UInt32(truncatingIfNeeded: value)
        }
      }
      names[number] = Self.parts(value, 1).first.map(Self.string) ?? ""
    }
    words.append(Contract.WordType(name: Self.shortened(name), names: names))
  }

  private static func field(_ bytes: UnsafeRawBufferPointer) -> RawField {
    var field = RawField()
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (1, .bytes(let text)): field.name = string(text)
      case (3, .varint(let value)): field.number = Int(value)
      case (4, .varint(let label)): field.isList = label == 3
      case (5, .varint(let value)): field.type = value
      case (6, .bytes(let text)): field.typeName = string(text)
      case (9, .varint): field.isMember = true
      default: break
      }
    }
    return field
  }

  private static func parts(
    _ message: UnsafeRawBufferPointer, _ wanted: Int
  ) -> [UnsafeRawBufferPointer] {
    var parts: [UnsafeRawBufferPointer] = []
    var reader = ProtoReader(message)
    while let (number, value) = reader.next() {
      if number == wanted, case .bytes(let part) = value { parts.append(part) }
    }
    return parts
  }

  private static func string(_ bytes: UnsafeRawBufferPointer) -> String {
    String(decoding: bytes, as: UTF8.self)
  }
}
