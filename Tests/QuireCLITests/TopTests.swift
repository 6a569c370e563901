import QuireCLI
import Testing

private func stats(active: UInt64, allocated: UInt64) -> Message {
  var stats = Message("Stats")
  stats.set("pool", "p")
  stats.set("capacity_blocks", 100)
  stats.set("active_blocks", active)
  stats.set("free_blocks", 100 - active)
  stats.set("available_blocks", 100 - active)
  stats.set("allocated_blocks", allocated)
  stats.set("running_sequences", 3)
  return stats
}

/// Ids with their blocks and tokens.
private func sequences(_ parts: [(id: UInt64, blocks: UInt64, tokens: UInt64)]) -> [Message] {
  parts.map {
    var sequence = Message("Sequence")
    sequence.set("sequence_id", $0.id)
    sequence.set("state", 2)
    sequence.set("exclusive_blocks", $0.blocks)
    sequence.set("tokens", $0.tokens)
    return sequence
  }
}

private let three = sequences([(1, 5, 70), (2, 9, 10), (3, 7, 80)])

private func ids(_ state: TopState, _ style: Style = Style(width: 80, height: 24)) -> [String] {
  state.render(style: style, at: 0).dropFirst(9).dropLast()
    .compactMap { $0.split(separator: " ").first.map(String.init) }
    .filter { $0.allSatisfy(\.isNumber) }
}

@Suite("the screen of top")
struct TopTests {
  @Test("it fills the window and never passes its edges, whatever its size")
  func size() {
    var state = TopState()
    for (width, height) in [(80, 24), (200, 60), (20, 5), (1, 1), (40, 10)] {
      for hasStats in [false, true] {
        if hasStats { state.look(stats(active: 40, allocated: 0), three, at: 1_000) }
        for _ in 0..<2 {
          let lines = state.render(style: Style(width: width, height: height), at: 0)
          #expect(lines.count == max(2, height))
          #expect(lines.allSatisfy { $0.count <= width })
          _ = state.press(.letter("h"), rows: 3)
        }
      }
    }
  }

  @Test("letters that are two columns wide pass no edge, either")
  func wide() {
    var state = TopState()
    var one = sequences([(1, 5, 70)])
    one[0].set("label", String(repeating: "日", count: 60))
    state.look(stats(active: 40, allocated: 0), one, at: 1_000)
    for width in 77...80 {
      let lines = state.render(style: Style(width: width, height: 24), at: 0)
      let line = lines.first { $0.contains("日") } ?? ""
      // What stands before the label is 58 columns.
      #expect(line.filter { $0 == "日" }.count == (width - 58) / 2)
      #expect(line.filter { $0 != "日" }.count == 58)
    }
  }

  @Test("a look shows blocks, rates since the one before, and the share held over time")
  func look() {
    var state = TopState()
    state.look(stats(active: 40, allocated: 100), three, at: 10_000)
    state.look(stats(active: 100, allocated: 400), three, at: 12_000)
    let text = state.render(style: Style(width: 80, height: 24), at: 12_000).joined(separator: "\n")
    #expect(text.contains("pool 'p'") || text.contains("Pool 'p'"))
    #expect(text.contains("100.0 % held"))
    #expect(text.contains("alloc 150/s"))
    #expect(text.contains("History   ▄█"))
    #expect(text.contains("3 running"))
    #expect(text.contains("00:00:12 UTC"))
  }

  @Test("among rates the hit rate is of the interval, so a cache that stops to hit is seen")
  func hitRate() {
    var state = TopState()
    func hits(after found: UInt64, of asked: UInt64, at milliseconds: UInt64) -> Substring? {
      var stats = stats(active: 40, allocated: 0)
      stats.set("prefix_hit_tokens", found)
      stats.set("prefix_query_tokens", asked)
      state.look(stats, [], at: milliseconds)
      return state.render(style: Style(width: 120, height: 24), at: 0)
        .first { $0.hasPrefix("Rates") }?.split(separator: "  ").last
    }
    #expect(hits(after: 900, of: 1_000, at: 1_000) == "hits -")
    #expect(hits(after: 990, of: 1_100, at: 2_000) == "hits 90.0 %")
    #expect(hits(after: 990, of: 1_300, at: 3_000) == "hits 0.0 %")
    #expect(hits(after: 990, of: 1_300, at: 4_000) == "hits -")
    // A reset pool begins again.
    #expect(hits(after: 5, of: 20, at: 5_000) == "hits 25.0 %")
    state.changePool(to: "other")
    #expect(hits(after: 7, of: 10, at: 6_000) == "hits -")
  }

  @Test("sequences are sorted by the key pressed, and back to front by R")
  func sorting() {
    var state = TopState()
    state.look(stats(active: 40, allocated: 0), three, at: 1_000)
    #expect(ids(state) == ["2", "3", "1"])
    #expect(state.press(.letter("t"), rows: 10) == .redraw)
    #expect(ids(state) == ["3", "1", "2"])
    _ = state.press(.letter("R"), rows: 10)
    #expect(ids(state) == ["2", "1", "3"])
    _ = state.press(.letter("i"), rows: 10)
    #expect(ids(state) == ["3", "2", "1"])
  }

  @Test("scrolling stops at both ends")
  func scrolling() {
    var state = TopState()
    state.look(
      stats(active: 1, allocated: 0), sequences((1...50).map { (UInt64($0), 1, 1) }), at: 1_000)
    let style = Style(width: 80, height: 20)
    let rows = TopState.rows(height: 20) - 1
    _ = state.press(.up, rows: rows)
    #expect(ids(state, style).first == "1")
    _ = state.press(.down, rows: rows)
    #expect(ids(state, style).first == "2")
    _ = state.press(.end, rows: rows)
    #expect(ids(state, style).last == "50")
    _ = state.press(.pageUp, rows: rows)
    #expect(ids(state, style).last == "\(50 - rows)")
    _ = state.press(.home, rows: rows)
    #expect(ids(state, style).first == "1")
  }

  @Test("keys ask for what they say")
  func keys() {
    var state = TopState()
    #expect(state.press(.letter("q"), rows: 1) == .quit)
    #expect(state.press(.letter("n"), rows: 1) == .nextPool)
    #expect(state.press(.letter("x"), rows: 1) == .nothing)
    _ = state.press(.letter(" "), rows: 1)
    #expect(state.isPaused)
    _ = state.press(.letter("-"), rows: 1)
    #expect(state.interval == 0.5)
    // In the help, q goes back.
    _ = state.press(.letter("h"), rows: 1)
    #expect(state.press(.letter("q"), rows: 1) == .redraw)
    #expect(!state.showsHelp)
  }

  @Test("a server that is gone is told, beside what was last known")
  func problem() {
    var state = TopState()
    state.look(stats(active: 40, allocated: 0), three, at: 1_000)
    state.problem = "connection \u{1B}[2J refused"
    let text = state.render(style: Style(width: 80, height: 24), at: 0).joined(separator: "\n")
    #expect(text.contains("connection ?[2J refused"))
    #expect(text.contains("40.0 % held"))
  }

  @Test("bytes of a terminal become keys, and what is not known is passed over whole")
  func bytes() {
    func keys(_ text: String) -> [TopState.Key] { KeyReader.keys(in: Array(text.utf8)) }
    #expect(keys("q") == [.letter("q")])
    #expect(keys("\u{1B}[A\u{1B}[B\u{1B}OH") == [.up, .down, .home])
    #expect(keys("\u{1B}[5~\u{1B}[6~\u{1B}[4~") == [.pageUp, .pageDown, .end])
    #expect(keys("\u{1B}[1;5Ct") == [.letter("t")])
    #expect(keys("\u{1B}[200~") == [])
    #expect(keys("\u{1B}") == [])
    #expect(keys("\u{1B}[") == [])
    #expect(keys("\u{01}\u{7F}ä") == [])
  }
}
