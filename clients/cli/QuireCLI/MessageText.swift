internal import ForeignText
internal import ToolSupport

// Messages for programs. JSON has a message on one line, fields by their names in the contract, all of
// them: numbers as numbers, bytes in hexadecimal, values of enumerations by name, what is not set as
// null. CSV has one in a row: what a message holds in its columns as `message.field`, elements of a
// list with a semicolon between them, their fields with a colon.

extension Message {
  package var json: String {
    var text = "{"
    for (place, (field, value)) in zip(type.fields, values).enumerated() {
      if place > 0 { text += "," }
      text += "\"\(field.name)\":" + value.json
    }
    return text + "}"
  }

  /// Names of the columns that `cells` fills.
  package static func columns(_ name: String) -> [String] {
    columns(of: Contract.shared.place(of: name), "")
  }

  private static func columns(of place: Int, _ prefix: String) -> [String] {
    Contract.shared.messages[place].fields.flatMap { field in
      if case .message(let nested) = field.kind, !field.isList {
        return columns(of: nested, prefix + field.name + ".")
      }
      return [prefix + field.name]
    }
  }

  package var cells: [String] {
    zip(type.fields, values).flatMap { field, value in
      if case .message(let nested) = field.kind, !field.isList {
        if case .message(let message) = value { return message.cells }
        return Array(repeating: "", count: Self.columns(of: nested, "").count)
      }
      return [value.plain]
    }
  }
}

extension Value {
  fileprivate var json: String {
    switch self {
    case .absent: "null"
    case .number(let value): "\(value)"
    case .signed(let value): "\(value)"
    case .real(let value): value.isFinite ? "\(value)" : "null"
    case .flag(let value): value ? "true" : "false"
    case .text(let text): ForeignText.quoted(text)
    case .bytes(let bytes): "\"" + Self.hexadecimal(bytes) + "\""
    case .word(let code, let words): "\"" + Contract.shared.fullWord(code, of: words) + "\""
    case .list(let values): "[" + values.map(\.json).joined(separator: ",") + "]"
    case .message(let message): message.json
    }
  }

  /// As a cell of a table, and no formula.
  var plain: String {
    switch self {
    case .absent: ""
    case .number(let value): "\(value)"
    case .signed(let value): "\(value)"
    case .real(let value): "\(value)"
    case .flag(let value): value ? "true" : "false"
    case .text(let text): ForeignText.cell(text)
    case .bytes(let bytes): Self.hexadecimal(bytes)
    case .word(let code, let words): Contract.shared.shortWord(code, of: words)
    case .list(let values): values.map(\.plain).joined(separator: ";")
    case .message(let message): message.values.map(\.plain).joined(separator: ":")
    }
  }

  private static let digits = Array("0123456789abcdef")

  static func hexadecimal(_ bytes: [UInt8]) -> String {
    var text = ""
    text.reserveCapacity(bytes.count * 2)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return text
  }
}

/// Rows of comma-separated values (RFC 4180, with plain newlines).
package enum CSVText {
  package static func row(_ cells: [String]) -> String {
    cells.map(cell).joined(separator: ",") + "\n"
  }

  /// In quotes where it must be.
  private static func cell(_ text: String) -> String {
    guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
    return "\"" + text.replacing("\"", with: "\"\"") + "\""
  }
}
