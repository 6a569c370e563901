import QuireCLI
import Testing
import ToolSupport

@Suite("owners")
struct OwnerTests {
  @Test("a bar for each look, to the scale of who held most; what is there is seen")
  func bars() {
    #expect(OwnersText.line([0, 1, 50, 100], most: 100) == " ▁▄█")
    #expect(OwnersText.line([], most: 100) == "-")
    #expect(OwnersText.line([0], most: 0) == "-")
    // 48 looks in 24 stretches: the highest of each two.
    let many: [UInt64] = (0..<48).map { $0 % 2 == 0 ? 0 : 8 }
    #expect(OwnersText.line(many, most: 8) == String(repeating: "█", count: 24))
  }

  @Test("an owner is a session and a label, with what it held over time")
  func table() {
    func owner(_ session: UInt64, _ name: String, _ blocks: UInt64) -> Message {
      var owner = Message("OwnerFootprint")
      owner.set("session", session)
      owner.set("name", name)
      owner.set("blocks", blocks)
      owner.set("sequences", 2)
      return owner
    }
    var leak = owner(7, "batch", 4)
    leak.set("held_idle_ms", 90_000)
    leak["idle_growth_blocks"] = .signed(3)
    var series = Message("OwnerHistory")
    series.set("session", 7)
    series.set("name", "batch")
    series.set("blocks", list: [1, 4] as [UInt64])
    var history = Message("History")
    history.set("owner_times_ms", list: [10_000, 20_000] as [UInt64])
    history.set("owners", list: [series])
    #expect(
      OwnersText.render([owner(0, "", 9), leak], history) == """
        SESSION  BLOCKS  RAW  PINNED  SEQUENCES  RUNNING  HELD IDLE  GREW  OVER TIME  LABEL
        default       9    0       0          2        0          -     -  -          -
              7       4    0       0          2        0       90 s     3  ▂█         batch

        over time: 2 looks in 10 s, the tallest is 4 blocks

        """)
    #expect(OwnersText.render([], history) == "nobody holds anything\n")
    // Where a window is narrow, and of letters that are two columns wide.
    series.set("blocks", list: (0..<48).map { $0 % 2 == 0 ? 0 : 4 } as [UInt64])
    series.set("name", "日本")
    leak.set("name", "日本")
    history.set("owners", list: [series])
    let narrow = OwnersText.render(
      [leak], history, style: Style(hasColor: false, width: 80, height: 24))
    #expect(
      narrow.hasPrefix(
        """
        SESSION  BLOCKS  RAW  RUNNING  HELD IDLE  GREW  OVER TIME     LABEL
              7       4    0        0       90 s     3  ████████████  日本

        """))
  }
}
