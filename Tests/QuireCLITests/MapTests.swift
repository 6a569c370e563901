import QuireCLI
import Testing

@Suite("the map of a pool")
struct MapTests {
  private func map(
    _ runs: [(cells: UInt64, state: UInt64, partial: Bool, marked: Bool)], each: UInt64 = 1
  ) -> Message {
    var map = Message("BlockMap")
    map.set("revision", 9)
    map.set("first_block", 1)
    map.set("blocks", runs.reduce(0) { $0 + $1.cells } * each)
    map.set("blocks_per_cell", each)
    map.set(
      "runs",
      list: runs.map {
        var run = Message("CellRun")
        run.set("cells", $0.cells)
        run.set("state", $0.state)
        run.set("partial", $0.partial)
        run.set("highlighted", $0.marked)
        return run
      })
    return map
  }

  @Test("a block is a letter, lines begin with the number of their first")
  func letters() {
    let text = MapText.render(
      map([(3, 3, false, false), (1, 3, true, false), (2, 4, false, false), (5, 1, false, false)]),
      columns: 4)
    #expect(
      text == """
        blocks 1 to 11 at revision 9, a cell each
          1 aaaA
          5 ss..
          9 ...
        . free  a active  s shared  capitals: partly filled

        """)
  }

  @Test("what was asked for is marked, and a cell may stand for many")
  func marked() {
    let text = MapText.render(
      map([(2, 2, false, false), (1, 3, false, true)], each: 64), columns: 10)
    #expect(text.contains("blocks 1 to 192 at revision 9, 64 to a cell"))
    #expect(text.contains("   1 cc#\n"))
    #expect(text.contains("# the sequence asked for"))
  }

  @Test("an empty map and one that makes no sense are drawn, too")
  func odd() {
    #expect(MapText.render(Message("BlockMap"), columns: 10).hasPrefix("blocks 0 to 0"))
    #expect(MapText.render(map([(1, 99, false, false)]), columns: 0).contains("?"))
  }

  @Test("programs get a row for each stretch, the last one cut at the range's end")
  func rows() {
    var odd = map([(2, 1, false, false), (2, 3, true, false)], each: 8)
    odd.set("blocks", 30)
    #expect(
      MapText.rows(odd) == [
        ["1", "16", "2", "free", "0", "false", "false", "0"],
        ["17", "14", "2", "active", "0", "true", "false", "0"],
      ])
    #expect(MapText.rows(odd)[0].count == MapText.columns.count)
  }

  @Test("as few blocks are put into a cell as fit the window")
  func layout() {
    func layout(_ blocks: UInt64, _ columns: UInt64? = nil, isTerminal: Bool = true) -> MapLayout {
      MapLayout(
        blocks: blocks, last: blocks, columns: columns, perCell: nil, isTerminal: isTerminal,
        style: Style(width: 80, height: 24))
    }
    // 80 columns less the numbers are 70 cells, 20 lines of them: 1,400.
    #expect((layout(1_400).columns, layout(1_400).perCell) == (70, 1))
    #expect(layout(1_401).perCell == 2)
    #expect(layout(1_000_000).perCell == 715)
    #expect(layout(4_096, isTerminal: false).perCell == 1)
    #expect(layout(4_097, isTerminal: false).perCell == 2)
    #expect(layout(100, 10).columns == 10)
  }
}
