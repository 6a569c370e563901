@testable import Analysis
import KVBlocks
import Testing

@Suite("owners over time")
struct OwnerHistoryTests {
  private func owner(_ label: String, _ blocks: UInt32, session: SessionID = 0) -> OwnerCost {
    var owner = OwnerCost(session: session, label: Array(label.utf8))
    owner.rawBlocks = blocks
    return owner
  }

  private func told(_ history: OwnerHistory, since: UInt64 = 0, most: Int = .max) -> [String] {
    history.series(since: since, most: most).owners.map {
      "\(String(decoding: $0.label, as: UTF8.self)) \($0.blocks.map(String.init).joined(separator: " "))"
    }
  }

  @Test("each owner has a value for each look, 0 where it held nothing; who held most is first")
  func series() {
    var history = OwnerHistory()
    history.add([owner("a", 5), owner("b", 3)], at: 10_000)
    history.add([owner("b", 9)], at: 20_000)
    history.add([owner("b", 4), owner("a", 2), owner("idle", 0)], at: 30_000)
    #expect(history.series().times == [10_000, 20_000, 30_000])
    #expect(told(history) == ["b 3 9 4", "a 5 0 2"])
    #expect(told(history, since: 20_000) == ["b 9 4", "a 0 2"])
    // Every second one, up to the last.
    #expect(history.series(most: 2).times == [10_000, 30_000])
    #expect(told(history, most: 1) == ["b 4", "a 2"])
  }

  @Test("owners of the same label in two sessions are two")
  func sessions() {
    var history = OwnerHistory()
    history.add([owner("a", 5, session: 1), owner("a", 4, session: 2)], at: 10_000)
    #expect(history.series().owners.map(\.session) == [1, 2])
  }

  @Test("a look within the same ten seconds takes the place of the one before")
  func within() {
    var history = OwnerHistory()
    history.add([owner("a", 5)], at: 10_000)
    history.add([owner("a", 7)], at: 19_999)
    #expect(history.series().times == [19_999])
    #expect(told(history) == ["a 7"])
  }

  @Test("eight are kept of each look; two hours to ten seconds, a day to the minute, and no more")
  func bounds() {
    var history = OwnerHistory()
    for i in 0..<9_000 as Range<UInt64> {
      let owners = (0..<9 as Range<UInt32>).map { owner("\(i)-\($0)", 100 - $0) }
      history.add(owners, at: i * 10_000)
    }
    let (times, owners) = history.series()
    #expect(owners.count == 32)
    #expect(times.last == 89_990_000)
    // 720 looks in ten seconds each; before them the last of each minute.
    #expect(times.suffix(720).first == 82_800_000)
    #expect(times.dropLast(720).last == 82_790_000)
    #expect(times.count == 720 + 1_440 - 120)
    #expect(times.first == (1_499 - 1_439) * 60_000 + 50_000)
    #expect(history.memory < 1_000_000)
  }
}
