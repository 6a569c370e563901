/// What a field of a message holds.
package enum Value: Equatable, Sendable {
  /// A message, or a member of a oneof, that is not set.
  case absent
  case number(UInt64)
  case signed(Int64)
  case real(Double)
  case flag(Bool)
  case text(String)
  case bytes([UInt8])
  /// A value of an enumeration, by its number and the enumeration's place in the contract.
  case word(UInt32, Int)
  case list([Value])
  case message(Message)
}

/// A message of the contract whose fields are asked for by name.
///
/// A name that the message does not have, or one of another kind, is a bug of ours and traps.
package struct Message: Equatable, Sendable {
  /// Place in the contract.
  let place: Int
  /// In the order of the fields' numbers.
  var values: [Value]

  var type: Contract.MessageType { Contract.shared.messages[place] }
  package var name: String { type.name }

  /// The message with every field at its default.
  package init(_ name: String) { self.init(at: Contract.shared.place(of: name)) }

  init(at place: Int) {
    self.place = place
    values = Contract.shared.messages[place].defaults
  }

  package subscript(_ name: String) -> Value {
    get { values[index(name)] }
    set { values[index(name)] = newValue }
  }

  private func index(_ name: String) -> Int {
    guard let index = type.placeOfName[name] else {
      preconditionFailure("\(type.name) has no field \(name)")
    }
    return index
  }

  private func wrong(_ name: String) -> Never {
    preconditionFailure("\(type.name).\(name) is of another kind")
  }

  package func knows(_ name: String) -> Bool { type.placeOfName[name] != nil }

  /// 0 where a member of a oneof is not set.
  package func number(_ name: String) -> UInt64 {
    switch self[name] {
    case .number(let value): value
    case .absent: 0
    default: wrong(name)
    }
  }

  package func signed(_ name: String) -> Int64 {
    guard case .signed(let value) = self[name] else { wrong(name) }
    return value
  }

  package func real(_ name: String) -> Double {
    switch self[name] {
    case .real(let value): value
    case .absent: 0
    default: wrong(name)
    }
  }

  package func flag(_ name: String) -> Bool {
    guard case .flag(let value) = self[name] else { wrong(name) }
    return value
  }

  package func text(_ name: String) -> String {
    guard case .text(let value) = self[name] else { wrong(name) }
    return value
  }

  package func bytes(_ name: String) -> [UInt8] {
    guard case .bytes(let value) = self[name] else { wrong(name) }
    return value
  }

  /// Whether a message or a member of a oneof is set.
  package func has(_ name: String) -> Bool { self[name] != .absent }

  package func message(_ name: String) -> Message? {
    switch self[name] {
    case .message(let message): message
    case .absent: nil
    default: wrong(name)
    }
  }

  /// The first member of a oneof that is set to a message, with its name.
  package var member: (name: String, message: Message)? {
    for (field, value) in zip(type.fields, values) where field.isMember {
      if case .message(let message) = value { return (field.name, message) }
    }
    return nil
  }

  package func messages(_ name: String) -> [Message] {
    guard case .list(let values) = self[name] else { wrong(name) }
    return values.map {
      guard case .message(let message) = $0 else { wrong(name) }
      return message
    }
  }

  package func numbers(_ name: String) -> [UInt64] {
    guard case .list(let values) = self[name] else { wrong(name) }
    return values.map {
      guard case .number(let value) = $0 else { wrong(name) }
      return value
    }
  }

  package func flags(_ name: String) -> [Bool] {
    guard case .list(let values) = self[name] else { wrong(name) }
    return values.map {
      guard case .flag(let value) = $0 else { wrong(name) }
      return value
    }
  }

  /// Number of an enumeration's value.
  package func code(_ name: String) -> UInt32 {
    guard case .word(let code, _) = self[name] else { wrong(name) }
    return code
  }

  /// The value of an enumeration as people write it: STRATEGY_FREE_QUEUE is `free-queue`.
  package func word(_ name: String) -> String {
    guard case .word(let code, let words) = self[name] else { wrong(name) }
    return Contract.shared.shortWord(code, of: words)
  }

  // MARK: Filling in

  package mutating func set(_ name: String, _ value: UInt64) {
    let field = type.fields[index(name)]
    switch field.kind {
    case .word(let words): self[name] = .word(UInt32(truncatingIfNeeded: value), words)
    default: self[name] = .number(value)
    }
  }

  package mutating func set(_ name: String, _ value: Bool) { self[name] = .flag(value) }
  package mutating func set(_ name: String, real value: Double) { self[name] = .real(value) }
  package mutating func set(_ name: String, _ value: String) { self[name] = .text(value) }
  package mutating func set(_ name: String, _ value: Message) { self[name] = .message(value) }
  package mutating func set(_ name: String, list values: [Message]) {
    self[name] = .list(values.map { .message($0) })
  }
  package mutating func set(_ name: String, list values: [UInt64]) {
    let field = type.fields[index(name)]
    self[name] = .list(
      values.map {
        if case .word(let words) = field.kind {
          return .word(UInt32(truncatingIfNeeded: $0), words)
        }
        return .number($0)
      })
  }
}

extension Contract {
  /// The name of an enumeration's value as the contract spells it; its number where it has none.
  func fullWord(_ code: UInt32, of words: Int) -> String {
    self.words[words].names[code] ?? "\(code)"
  }

  /// Without what the names of the enumeration have in common, in small letters with dashes.
  func shortWord(_ code: UInt32, of words: Int) -> String {
    guard let full = self.words[words].names[code] else { return "\(code)" }
    var prefix = ""
    for (place, letter) in self.words[words].name.split(separator: ".").last!.enumerated() {
      if place > 0, letter.isUppercase { prefix += "_" }
      prefix += letter.uppercased()
    }
    prefix += "_"
    let rest = full.hasPrefix(prefix) ? full.dropFirst(prefix.count) : full[...]
    return rest.lowercased().replacing("_", with: "-")
  }
}
