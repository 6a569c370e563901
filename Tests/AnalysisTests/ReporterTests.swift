import Analysis
import Foundation
import KVBlocks
import TestSupport
import Testing

@Suite("how a report is written down")
struct ReporterTests {
  private static let hostile = "<script>alert('1')</script> & \"two\", three\u{1B}[31m"

  /// Two owners, one of whom wants to be somebody else.
  private func pool() -> ReportedPool {
    let pool = ReportedPool(blocks: 64, blockSize: 16)
    for _ in 0..<10 { pool.admit(17, label: Self.hostile) }
    pool.admit(40, label: "chat")
    return pool
  }

  private func written(
    _ pool: ReportedPool, as format: FragmentationReporter.Format, _ name: String = "default"
  ) -> String {
    FragmentationReporter(pool.report(name)).written(as: format)
  }

  /// Cells of a table in RFC 4180's form.
  private func rows(_ csv: String) -> [[String]] {
    var rows: [[String]] = [[]]
    var cell = ""
    var isQuoted = false
    var wasQuote = false
    for letter in csv {
      if isQuoted && letter != "\"" {
        cell.append(letter)
      } else if letter == "\"" {
        if !isQuoted && wasQuote { cell.append(letter) }
        isQuoted.toggle()
      } else if letter == "," {
        rows[rows.count - 1].append(cell)
        cell = ""
      } else if letter == "\n" {
        rows[rows.count - 1].append(cell)
        cell = ""
        rows.append([])
      } else {
        cell.append(letter)
      }
      wasQuote = letter == "\"" && !isQuoted
    }
    return rows.dropLast()
  }

  // MARK: Text

  @Test("text has the figures above, the four answers, the tables, and lines of a hundred columns")
  func text() {
    let lines = written(pool(), as: .text).split(separator: "\n").map(String.init)
    #expect(
      lines[0] == "Report on pool 'default', 2023-11-14 22:13:20 UTC, revision 11")
    #expect(lines[1] == "  64 blocks of 16 tokens, free-queue, no prefixes cached")
    // 10 x 2 and 3 blocks; 170 and 40 of 1,024 slots.
    #expect(
      lines[2]
        == "  41 free, 0 cached, 23 active, 0 shared, 0 pinned; 35.9 % in use, 20.5 % of the slots")
    for heading in [
      "What is the fragmentation pattern?", "What causes it?", "What is its impact?",
      "How can it be reduced?", "Runs by length", "Who holds most", "Rules of advice",
    ] { #expect(lines.contains(heading)) }
    #expect(lines.allSatisfy { $0.count <= 100 })
    #expect(!lines.contains { $0.unicodeScalars.contains { $0.value < 32 } })
    // A letter is a block.
    #expect(
      lines.contains("  " + String(repeating: "a", count: 23) + String(repeating: ".", count: 41)))
  }

  // MARK: JSON

  @Test("JSON is one line that parses, with labels as they are")
  func json() throws {
    let text = written(pool(), as: .json)
    #expect(text.last == "\n" && text.dropLast().allSatisfy { $0 != "\n" })
    let parsed = try JSONSerialization.jsonObject(with: Data(text.utf8))
    let object = try #require(parsed as? [String: Any])
    #expect(object["pool"] as? String == "default")
    #expect((object["blocks"] as? [String: Any])?["active"] as? Int == 23)
    #expect((object["external"] as? [String: Any])?["refusals_by_fragmentation"] as? Int == 0)
    let owners = try #require(object["owners"] as? [[String: Any]])
    #expect(owners.first?["label"] as? String == Self.hostile)
    let advice = try #require(object["advice"] as? [[String: Any]])
    #expect(advice.count == Advice.Rule.allCases.count)
    #expect(
      advice.filter { $0["given"] as? Bool == true }.map { $0["rule"] as? String } == [
        "smaller_blocks"
      ])
    #expect((object["what_if"] as? [Any])?.count == 8)
    #expect(object["orphaned_blocks"] is NSNull)
  }

  // MARK: CSV

  @Test("CSV has five cells in each row, and quotes what has commas or quotes")
  func csv() {
    let table = rows(written(pool(), as: .csv))
    #expect(table[0] == ["section", "item", "measure", "value", "unit"])
    #expect(table.allSatisfy { $0.count == 5 })
    #expect(table.contains(["blocks", "", "active", "23", "blocks"]))
    #expect(table.contains(["external", "", "refusals_by_fragmentation", "0", "requests"]))
    // Without the control code.
    let label = Self.hostile.replacing("\u{1B}", with: "?")
    #expect(table.contains(["owner", label, "blocks", "20", "blocks"]))
    // Ten tails of 7 slots, and 40 tokens in 5 blocks of 8.
    #expect(table.contains(["what_if", "blocks of 8", "wasted_slots", "70", "slots"]))
  }

  // MARK: HTML

  @Test("neither the name of a pool nor a label gets out of its place on the page")
  func escapes() {
    let page = written(pool(), as: .html, Self.hostile)
    #expect(!page.contains("<script"))
    #expect(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;two&quot;"))
    #expect(!page.unicodeScalars.contains { $0.value < 32 && $0 != "\n" })
  }

  @Test("the page refers to nothing outside of itself")
  func offline() {
    let page = written(pool(), as: .html)
    for word in [
      "http:", "https:", "//", "src=", "href=", "@import", "<link", "<script", "<iframe",
    ] {
      #expect(!page.contains(word), "\(word)")
    }
    // Textures are in the page.
    #expect(page.matches(of: /url\(#s[0-5]\)/).count == page.matches(of: /url\(/).count)
  }

  @Test("a page stays under a megabyte and opens and closes each element, in the worst of states")
  func bounded() {
    // Every other one of 4,096 blocks, a day of history, and as many owners and sequences as are shown.
    let pool = ReportedPool(blocks: 4_096, blockSize: 16)
    for i in 0..<4_096 { pool.admit(1, label: "owner \(i % 40) \(Self.hostile)") }
    pool.release((1...4_096).filter { $0 % 2 == 0 })
    for _ in 0..<2_000 {
      pool.sample()
      pool.now += 40_000
    }
    let page = written(pool, as: .html)
    #expect(page.utf8.count < 1_000_000)
    #expect(unclosed(page) == [])
    #expect(written(pool, as: .json).utf8.count < 1_000_000)
    #expect(written(pool, as: .csv).utf8.count < 1_000_000)
  }

  @Test("a large pool's page shows cells of many blocks")
  func large() {
    let pool = ReportedPool(blocks: 1 << 20, blockSize: 16)
    pool.allocate(1 << 19)
    pool.free((1...1 << 19).filter { $0 % 3 == 0 })
    let report = pool.report()
    #expect(report.map.perCell == 1_024)
    #expect(report.map.runs.map(\.cells).reduce(0, +) == 1_024)
    let page = FragmentationReporter(report).written(as: .html)
    #expect(page.contains("A cell is 1,024 blocks, filled from below"))
    #expect(page.utf8.count < 1_000_000)
    #expect(unclosed(page) == [])
  }

  @Test("a cell says what it has, not what can be drawn, and there is none behind the pool's end")
  func cells() {
    // Cells of 10 blocks: 64 in a line, 9 more in the next one, of which the last has one block.
    let pool = ReportedPool(blocks: 9_721)
    pool.allocate(9_721)
    pool.free([3, 700])
    let page = FragmentationReporter(pool.report()).written(as: .html)
    #expect(pool.report().map.perCell == 10)
    #expect(page.contains("<title>blocks 1 to 10: 90.0 % active</title>"))
    #expect(page.contains("<title>blocks 691 to 700: 90.0 % active</title>"))
    #expect(page.contains("<title>blocks 11 to 640: 100 % active</title>"))
    #expect(page.contains("<title>blocks 9,601 to 9,721: 100 % active</title>"))
    // 973 cells: fifteen lines of 64, and 13.
    #expect(page.contains("<rect x=\"0\" y=\"240\" width=\"208\" height=\"16\" class=\"f0\"/>"))
  }

  @Test(
    "whatever a pool went through, its reports can be written",
    arguments: [1, 2, 3, 4] as [UInt64])
  func walk(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let strategies: [AllocationStrategy] = [.freeQueue, .buddy, .firstFit, .contiguousPowerOfTwo]
    let pool = ReportedPool(
      blocks: 200, blockSize: 4, strategy: strategies[Int(seed) - 1], longest: 64)
    for step in 0..<300 {
      switch random.next() % 6 {
      case 0: pool.allocate(UInt32(random.next() % 20) + 1)
      case 1: pool.free([UInt32(random.next() % 200) + 1])
      case 2: pool.release([random.next() % 100 + 1])
      case 3: pool.preempt([random.next() % 100 + 1])
      default: pool.admit(UInt32(random.next() % 60) + 1, keeps: random.next() % 2 == 0)
      }
      pool.now += random.next() % 5_000
      if step % 3 == 0 { pool.sample() }
      if step % 50 != 7 { continue }
      #expect(unclosed(written(pool, as: .html)) == [])
      _ = try JSONSerialization.jsonObject(with: Data(written(pool, as: .json).utf8))
      #expect(rows(written(pool, as: .csv)).allSatisfy { $0.count == 5 })
      #expect(written(pool, as: .text).hasPrefix("Report on pool"))
    }
  }

  /// Elements that are not closed, or closed twice, in the order in which that shows.
  private func unclosed(_ page: String) -> [String] {
    var open: [String] = []
    var wrong: [String] = []
    for tag in page.matches(of: /<(\/?)([a-z0-9]+)((?:[^>"]|"[^"]*")*)>/) {
      let name = String(tag.output.2)
      if tag.output.1.isEmpty {
        if !tag.output.3.hasSuffix("/") { open.append(name) }
      } else if open.last == name {
        open.removeLast()
      } else {
        wrong.append(name)
      }
    }
    return wrong + open
  }
}
