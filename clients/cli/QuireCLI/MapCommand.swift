internal import ToolSupport

extension CommandSpec {
  static let map = CommandSpec(
    name: "map", summary: "a pool as a picture, a cell for each block or for some blocks each",
    options: [
      OptionSpec("--first", "ID", .whole(1...(1 << 31)), "from this block on (default: 1)"),
      OptionSpec("--blocks", "N", .whole(1...(1 << 31)), "so many blocks (default: to the end)"),
      OptionSpec(
        "--per-cell", "N", .whole(1...(1 << 31)),
        "blocks of a cell (default: as few as fit the window, or 4,096 cells in a pipe)"),
      OptionSpec(
        "--columns", "N", .whole(1...10_000), "cells of a line (default: the window, or 64)"),
      OptionSpec("--sequence", "ID", .whole(0...UInt64.max), "marks the blocks of this sequence"),
      watch, count,
    ],
    notes: """
      A cell of some blocks shows what most of them are. Capitals are partly filled; # is the sequence
      asked for. --csv has a row for each stretch of cells that look the same.
      """,
    examples: ["map", "map --sequence 42", "map --first 1000 --blocks 64", "map --watch 1"],
    check: { invocation throws(UsageError) in try countNeedsWatch(invocation) })
}

extension Command {
  func map() throws(Failure) -> ExitCode {
    let connection = try connect()
    try repeated(connection) { round throws(Failure) in
      let first = invocation.whole("--first") ?? 1
      let capacity = try connection.capacity()
      guard first <= capacity else {
        throw Failure(.usage, "--first is \(first); the pool's last block is \(capacity)")
      }
      let blocks = min(invocation.whole("--blocks") ?? .max, capacity - first + 1)
      let layout = MapLayout(
        blocks: blocks, last: first + blocks - 1, columns: invocation.whole("--columns"),
        perCell: invocation.whole("--per-cell"), isTerminal: terminal.isTerminal,
        style: terminal.style)
      var request = connection.request("GetBlockMapRequest")
      request.set("first_block", first)
      request.set("blocks", blocks)
      request.set("blocks_per_cell", layout.perCell)
      if let id = invocation.whole("--sequence") { request.set("sequence_id", id) }
      let map = try connection.call("Analyzer/GetBlockMap", request, reply: "BlockMap")
      switch invocation.format {
      case .json: try terminal.write(map.json + "\n")
      case .csv:
        if round == 0 { try terminal.write(CSVText.row(MapText.columns)) }
        try terminal.write(MapText.rows(map).map(CSVText.row).joined())
      case .text:
        let picture = MapText.render(map, columns: layout.columns, style: terminal.style)
        // Over the picture before, on a terminal.
        let isOver = terminal.isTerminal && invocation.has("--watch")
        try terminal.write((isOver ? "\u{1B}[H\u{1B}[2J" : "") + picture)
      }
    }
    connection.close()
    return .fine
  }
}

extension Connection {
  /// Blocks of the pool.
  fileprivate func capacity() throws(Failure) -> UInt64 {
    try call("Analyzer/GetStats", request("GetStatsRequest"), reply: "Stats")
      .number("capacity_blocks")
  }
}

/// How many blocks a cell and how many cells a line has.
package struct MapLayout: Equatable {
  package var columns: Int
  package var perCell: UInt64

  /// - Parameters:
  ///   - blocks: Of the range.
  ///   - last: The range's last, which says how wide the numbers are.
  package init(
    blocks: UInt64, last: UInt64, columns: UInt64?, perCell: UInt64?, isTerminal: Bool, style: Style
  ) {
    let margin = "\(last + 1)".count + 2
    // Whole tens are easier to count in.
    let window = max(1, style.width - margin)
    let usual = isTerminal ? (window > 10 ? window / 10 * 10 : window) : 64
    self.columns = columns.map(Int.init) ?? usual
    let lines = isTerminal ? max(1, style.height - 4) : 64
    let cells = UInt64(self.columns * lines)
    self.perCell = perCell ?? max(1, (blocks + cells - 1) / cells)
  }
}
