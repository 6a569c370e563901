internal import ToolSupport

/// A pool as a picture: a cell for each block, or for some blocks each.
package enum MapText {
  private static let letters:
    [(state: UInt32, letter: Character, color: Style.Color, name: String)] =
      [
        (1, ".", .free, "free"), (2, "c", .cached, "cached"), (3, "a", .active, "active"),
        (4, "s", .shared, "shared"), (5, "p", .pinned, "pinned"), (6, "l", .pending, "pending"),
      ]

  private static let mostCells = 1 << 20

  /// - Parameters:
  ///   - map: `BlockMap`.
  ///   - columns: Cells of a line.
  package static func render(_ map: Message, columns: Int, style: Style = .plain) -> String {
    let first = map.number("first_block")
    let blocks = map.number("blocks")
    let each = max(1, map.number("blocks_per_cell"))
    var lines = [
      "blocks \(NumberText.grouped(first)) to \(NumberText.grouped(first + max(1, blocks) - 1)) at "
        + "revision \(NumberText.grouped(map.number("revision"))), "
        + (each == 1 ? "a cell each" : "\(NumberText.grouped(each)) to a cell")
    ]
    let margin = "\(first + blocks)".count + 2
    let width = max(1, columns)
    var line = ""
    var cell = 0
    var present: Set<UInt32> = []
    var hasPartial = false
    var hasMark = false
    for run in map.messages("runs") {
      let state = run.code("state")
      present.insert(state)
      hasPartial = hasPartial || run.flag("partial")
      hasMark = hasMark || run.flag("highlighted")
      // No server makes more cells: what claims to have more is cut.
      var left = min(Int(run.number("cells")), mostCells - cell)
      while left > 0 {
        if cell % width == 0 {
          if cell > 0 { lines.append(line) }
          line = label(first + UInt64(cell) * each, margin)
        }
        let count = min(left, width - cell % width)
        line += paint(run, count, style)
        cell += count
        left -= count
      }
    }
    if cell > 0 { lines.append(line) }
    lines.append(legend(present, hasPartial, hasMark, style))
    return lines.joined(separator: "\n") + "\n"
  }

  package static let columns = [
    "first_block", "blocks", "cells", "state", "ref_count", "partial", "highlighted",
    "used_percent",
  ]

  /// The cells of each stretch, under `columns`.
  package static func rows(_ map: Message) -> [[String]] {
    let each = max(1, map.number("blocks_per_cell"))
    let end = map.number("first_block") + map.number("blocks")
    var first = map.number("first_block")
    return map.messages("runs").map { run in
      // The last cell may have fewer blocks.
      let blocks = min(run.number("cells") * each, end - min(first, end))
      defer { first += blocks }
      return ["\(first)", "\(blocks)"] + columns.dropFirst(2).map { run[$0].plain }
    }
  }

  private static func label(_ block: UInt64, _ width: Int) -> String {
    let text = "\(block)"
    return String(repeating: " ", count: max(0, width - 1 - text.count)) + text + " "
  }

  /// In capitals what is partly filled; `#` what was asked for.
  private static func paint(_ run: Message, _ count: Int, _ style: Style) -> String {
    let kind = letters.first { $0.state == run.code("state") }
    var letter = kind?.letter ?? "?"
    if run.flag("partial") { letter = Character(letter.uppercased()) }
    if run.flag("highlighted") { letter = "#" }
    let cells = String(repeating: letter, count: count)
    if run.flag("highlighted") { return style.paint(cells, .inverse) }
    return kind.map { style.paint(cells, $0.color) } ?? cells
  }

  private static func legend(
    _ present: Set<UInt32>, _ hasPartial: Bool, _ hasMark: Bool, _ style: Style
  ) -> String {
    var words = letters.filter { present.contains($0.state) }.map {
      style.paint("\($0.letter)", $0.color) + " \($0.name)"
    }
    if hasPartial { words.append("capitals: partly filled") }
    if hasMark { words.append(style.paint("#", .inverse) + " the sequence asked for") }
    return words.joined(separator: "  ")
  }
}
