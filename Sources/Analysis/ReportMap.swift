/// The picture of a pool's blocks: a cell for each block, or, of larger pools, for some together, filled
/// from below with what they are. Cells that are alike are one rectangle.
struct ReportMap {
  let map: BlockMix

  /// Units of the picture.
  private static let width = 1_024
  /// Cells of several blocks have so many steps of filling.
  private static let steps = 16
  /// From below: what is in use, then what is kept, then what waits.
  private static let order = [2, 3, 4, 1, 5]

  private var cells: Int { map.runs.reduce(0) { $0 + Int($1.cells) } }
  private var columns: Int {
    if map.perCell > 1 { return 64 }
    return [16, 32, 64].first { $0 * $0 / 4 >= cells } ?? 128
  }

  func svg() -> String {
    let columns = columns
    let size = min(Self.width / columns, 24)
    let rows = max(1, (cells + columns - 1) / columns)
    var body = map.perCell == 1 ? blocks(columns, size) : mixes(columns, size)
    body += lines(columns, rows, size)
    let (width, height) = (columns * size, rows * size)
    return "<svg class=\"chart\" style=\"max-width:\(width)px\" viewBox=\"0 0 \(width) \(height)\" "
      + "role=\"img\" aria-label=\"Map of the pool's blocks\">\(body)</svg>\n"
  }

  // MARK: Single blocks

  private func blocks(_ columns: Int, _ size: Int) -> String {
    var text = ""
    var marks = ""
    var begin = 0
    for run in merged {
      let end = begin + run.cells
      let title = "\(name(begin, end)): \(BlockPicture.names[run.state])"
      for one in rectangles(begin, end, columns) {
        text +=
          "<rect x=\"\(one.x * size)\" y=\"\(one.y * size)\" width=\"\(one.width * size)\" "
          + "height=\"\(one.height * size)\" fill=\"url(#s\(run.state))\"><title>\(title)</title></rect>"
      }
      begin = end
    }
    begin = 0
    for run in map.runs {
      if run.cell.isPartial {
        for place in begin..<begin + Int(run.cells) {
          let x = (place % columns + 1) * size
          let y = (place / columns + 1) * size
          marks += "M\(x) \(y)v-\(size * 5 / 8)l-\(size * 5 / 8) \(size * 5 / 8)z"
        }
      }
      begin += Int(run.cells)
    }
    if !marks.isEmpty { text += "<path class=\"partial\" d=\"\(marks)\"/>" }
    return text
  }

  /// Neighbours of the same state, partly filled or not.
  private var merged: [(cells: Int, state: Int)] {
    var result: [(cells: Int, state: Int)] = []
    for run in map.runs {
      let state = run.cell.counts.firstIndex { $0 > 0 } ?? 0
      if let last = result.last, last.state == state {
        result[result.count - 1].cells += Int(run.cells)
      } else {
        result.append((Int(run.cells), state))
      }
    }
    return result
  }

  /// Cells from `begin` up to `end`: the rest of a line, whole lines, the beginning of one.
  private func rectangles(
    _ begin: Int, _ end: Int, _ columns: Int
  ) -> [(x: Int, y: Int, width: Int, height: Int)] {
    var result: [(x: Int, y: Int, width: Int, height: Int)] = []
    var place = begin
    while place < end {
      let x = place % columns
      let whole = x == 0 ? (end - place) / columns : 0
      if whole > 0 {
        result.append((0, place / columns, columns, whole))
        place += whole * columns
      } else {
        let width = min(columns - x, end - place)
        result.append((x, place / columns, width, 1))
        place += width
      }
    }
    return result
  }

  // MARK: Several blocks a cell

  private func mixes(_ columns: Int, _ size: Int) -> String {
    struct Stack {
      var x: Int
      var y: Int
      var cells: Int
      var first: Int
      var heights: [Int]
      /// Blocks of each state.
      var counts: [UInt64]
    }
    var stacks: [Stack] = []
    var place = 0
    for run in map.runs {
      let heights = Self.heights(run.cell.counts)
      for _ in 0..<run.cells {
        let (x, y) = (place % columns, place / columns)
        if let last = stacks.last, x > 0, last.heights == heights {
          stacks[stacks.count - 1].cells += 1
          for i in run.cell.counts.indices {
            stacks[stacks.count - 1].counts[i] += UInt64(run.cell.counts[i])
          }
        } else {
          stacks.append(
            Stack(
              x: x, y: y, cells: 1, first: place, heights: heights,
              counts: run.cell.counts.map { UInt64($0) }))
        }
        place += 1
      }
    }
    // Up to the last cell: behind it are no free blocks.
    var text = ""
    for one in rectangles(0, place, columns) {
      text +=
        "<rect x=\"\(one.x * size)\" y=\"\(one.y * size)\" width=\"\(one.width * size)\" "
        + "height=\"\(one.height * size)\" class=\"f0\"/>"
    }
    for stack in stacks {
      var top = (stack.y + 1) * size
      var words: [String] = []
      var parts = ""
      let blocks = Double(stack.counts.reduce(0, +))
      for state in Self.order where stack.heights[state] > 0 {
        let height = stack.heights[state] * size / Self.steps
        top -= height
        parts +=
          "<rect x=\"\(stack.x * size)\" y=\"\(top)\" width=\"\(stack.cells * size)\" "
          + "height=\"\(height)\" fill=\"url(#s\(state))\"/>"
        words.append(
          "\(ReportWords.percent(Double(stack.counts[state]) / blocks)) \(BlockPicture.names[state])"
        )
      }
      if words.isEmpty { continue }
      let title = name(stack.first, stack.first + stack.cells)
      text += "<g><title>\(title): \(words.joined(separator: ", "))</title>\(parts)</g>"
    }
    return text
  }

  /// Sixteenths of a cell by state; what is there has one at least, and all have sixteen at most.
  static func heights(_ counts: [UInt32]) -> [Int] {
    let blocks = counts.reduce(0) { $0 + UInt64($1) }
    var heights = counts.map {
      $0 == 0 ? 0 : max(1, Int((Double($0) * Double(steps) / Double(blocks)).rounded()))
    }
    while heights.reduce(0, +) > steps,
      let most = heights.indices.max(by: { heights[$0] < heights[$1] })
    {
      heights[most] -= 1
    }
    return heights
  }

  // MARK: Both

  private func name(_ begin: Int, _ end: Int) -> String {
    let first = begin * Int(map.perCell) + 1
    let last = min(end * Int(map.perCell), Int(map.blocks))
    return first == last
      ? "block \(ReportWords.grouped(first))"
      : "blocks \(ReportWords.grouped(first)) to \(ReportWords.grouped(last))"
  }

  private func lines(_ columns: Int, _ rows: Int, _ size: Int) -> String {
    var path = ""
    for column in 1..<max(columns, 2) { path += "M\(column * size) 0V\(rows * size)" }
    for row in 1..<max(rows, 2) { path += "M0 \(row * size)H\(columns * size)" }
    return "<path class=\"cells\" d=\"\(path)\"/>"
  }
}
