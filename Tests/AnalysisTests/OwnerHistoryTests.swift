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

  @Test("of thousands of owners those who held most at any time are told, in order")
  func thousands() {
    var history = OwnerHistory()
    // Look i has eight new owners, of i x 10 + 1 ... i x 10 + 8 blocks; 700 looks, 5,600 owners.
    for i in 0..<700 as Range<UInt32> {
      let owners = (1...8 as ClosedRange<UInt32>).reversed().map {
        owner("\(i)-\($0)", i * 10 + $0)
      }
      history.add(owners, at: UInt64(i) * 10_000)
    }
    let all = history.series().owners
    #expect(all.count == 32)
    #expect(
      all.prefix(10).map { String(decoding: $0.label, as: UTF8.self) } == [
        "699-8", "699-7", "699-6", "699-5", "699-4", "699-3", "699-2", "699-1", "698-8", "698-7",
      ])
    #expect(all.map { $0.blocks.max() }.suffix(2) == [6_962, 6_961])
    #expect(all.allSatisfy { $0.blocks.count == 700 && $0.blocks.filter { $0 > 0 }.count == 1 })
    #expect(history.series(owners: 3).owners == Array(all.prefix(3)))
  }

  @Test("owners that held as much as each other are told by session, then by label")
  func ties() {
    var history = OwnerHistory()
    history.add([owner("b", 5), owner("a", 5), owner("a", 5, session: 1)], at: 10_000)
    history.add([owner("c", 5)], at: 20_000)
    let owners = history.series(owners: 3).owners
    #expect(
      owners.map { "\($0.session)\(String(decoding: $0.label, as: UTF8.self))" } == [
        "0a", "0b", "0c",
      ])
  }
}
