// Texts that others chose: names, labels, what a server or a client says. This module makes them harmless where
// they go; it imports nothing and knows nothing of pools.

/// A text that others chose, as people and programs may read it.
package enum ForeignText {
  /// For a terminal or a page: what these act on is a question mark.
  package static func printable(_ text: String) -> String {
    if text.utf8.allSatisfy({ (0x20..<0x7F).contains($0) }) { return text }
    var printable = ""
    for scalar in text.unicodeScalars {
      let isUnknown = scalar.properties.generalCategory == .unassigned
      printable.unicodeScalars.append(isControl(scalar) || isUnknown ? "?" : scalar)
    }
    return printable
  }

  /// For a cell of a table that may be opened in a spreadsheet, which takes for a formula what begins like one
  /// (some also with signs of full width): such a text has an apostrophe before it.
  package static func cell(_ text: String) -> String {
    let printable = printable(text)
    guard let first = printable.unicodeScalars.first,
      "=+-@\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}".unicodeScalars.contains(first)
    else { return printable }
    return "'" + printable
  }

  /// A JSON string (RFC 8259), quotes included. What terminals and editors act on is escaped, too: the value is
  /// the same, and JSON is printed as it is.
  package static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\r": quoted += "\\r"
      case "\t": quoted += "\\t"
      case " "..."~": quoted.unicodeScalars.append(scalar)
      case _ where isControl(scalar):
        for unit in UTF16.encode(scalar) ?? .init(UTF16.encodedReplacementCharacter) {
          let digits = String(unit, radix: 16)
          quoted += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
        }
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// Control codes, C1 (U+009B begins a command on some terminals), and what changes the direction or the
  /// look of the text around it without being seen.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: true
    default: false
    }
  }
}
