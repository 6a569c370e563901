/// Columns of text, as wide as what stands in them.
struct TextTable {
  enum Alignment { case left, right }

  private let titles: [String]
  private let alignments: [Alignment]
  private var rows: [[String]] = []

  init(_ columns: [(String, Alignment)]) {
    titles = columns.map(\.0)
    alignments = columns.map(\.1)
  }

  mutating func row(_ cells: [String]) {
    precondition(cells.count == titles.count, "a row of another table")
    rows.append(cells)
  }

  var isEmpty: Bool { rows.isEmpty }

  /// A line for the titles and one for each row, two spaces between columns, no space at the end.
  func lines(withTitles: Bool = true) -> [String] {
    let all = (withTitles ? [titles] : []) + rows
    let widths = titles.indices.map { column in all.map { TextWidth.columns($0[column]) }.max() ?? 0
    }
    return all.map { cells in
      var line = ""
      for column in cells.indices {
        let isLast = column == cells.count - 1
        let cell = cells[column]
        switch alignments[column] {
        case .left: line += isLast ? cell : Self.padded(cell, to: widths[column])
        case .right:
          line += String(repeating: " ", count: widths[column] - TextWidth.columns(cell)) + cell
        }
        if !isLast { line += "  " }
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }

  static func padded(_ text: String, to width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - TextWidth.columns(text)))
  }
}

/// What the output can show.
package struct Style: Equatable, Sendable {
  package var hasColor: Bool
  /// Columns.
  package var width: Int
  package var height: Int

  package init(hasColor: Bool = false, width: Int = 100, height: Int = 40) {
    self.hasColor = hasColor
    self.width = width
    self.height = height
  }

  package static let plain = Style()

  enum Color: String {
    case free = "2"
    case cached = "36"
    case active = "34"
    case shared = "33"
    case pinned = "35"
    case pending = "32"
    case good = "1;32"
    case bad = "1;31"
    case strong = "1"
    case inverse = "7"
  }

  func paint(_ text: String, _ color: Color) -> String {
    hasColor && !text.isEmpty ? "\u{1B}[\(color.rawValue)m\(text)\u{1B}[0m" : text
  }
}
