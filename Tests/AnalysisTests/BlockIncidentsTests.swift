import Analysis
import KVBlocks
import Testing

@Suite("incidents of blocks")
struct BlockIncidentsTests {
  private func lines(_ incidents: BlockIncidents, _ block: BlockID) -> [String] {
    incidents.incidents(of: block).map {
      "\($0.revision)@\($0.milliseconds) \($0.kind)"
        + ($0.cause == .none ? "" : ".\($0.cause)") + " \($0.owner.session)"
        + ($0.isTarget ? " target" : "")
    }
  }

  @Test("tell the life of a block: taken, cached, given back, hit, evicted for another")
  func life() {
    let followed = Followed(blocks: 2)
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.now = 10
    followed.allocate(1, session: 7)
    followed.cache([1], [5], session: 7)
    followed.now = 20
    followed.free([1], session: 7)
    followed.acquire([5], session: 8)
    followed.free([1], session: 8)
    followed.now = 30
    followed.allocate(2, session: 9)
    #expect(
      lines(incidents, 1) == [
        "1@10 handedOut 7", "2@10 stored 7", "3@20 released.free 7", "4@20 hit 8",
        "5@20 released.free 8", "6@30 evicted.handOut 9", "6@30 handedOut 9",
      ])
    #expect(lines(incidents, 2) == ["6@30 handedOut 9"])
    #expect(incidents.incidents(of: 1, limit: 2).map(\.kind) == [.evicted, .handedOut])
    #expect(incidents.incidents(of: 1, on: .host) == [])
  }

  @Test(
    "a reset of the pool happens to every block, and the past goes when another pool is followed")
  func cleared() {
    let followed = Followed()
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(1)
    followed.pool.reset()
    incidents.note(followed.log, at: followed.pool.revision, 3)
    #expect(lines(incidents, 1) == ["1@0 handedOut 0", "2@3 cleared.pool 0"])
    #expect(lines(incidents, 8) == ["2@3 cleared.pool 0"])
    incidents.forget()
    #expect(lines(incidents, 1) == [])
  }

  @Test("copies on write tell source and target apart")
  func copies() {
    let followed = Followed()
    let incidents = BlockIncidents()
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(1)
    [BlockID(1)].withUnsafeBufferPointer {
      followed.run(.forkBlocks($0, generations: .init(start: nil, count: 0)))
    }
    followed.run(.copyOnWrite(1, filledTokens: 3))
    let target = followed.outcome.results[0].block
    #expect(incidents.incidents(of: 1).contains { $0.kind == .copied && !$0.isTarget })
    #expect(incidents.incidents(of: target).contains { $0.kind == .copied && $0.isTarget })
  }

  @Test("the newest push the oldest out, of whole entries and of single ids")
  func rings() {
    let followed = Followed()
    // Each command is one entry of 3 ids; 4 entries and 8 ids are kept.
    let incidents = BlockIncidents(notes: 4, ids: 8)
    followed.onChange = { incidents.note($0, at: $1, $2) }
    followed.allocate(3)  // 1: blocks 1, 2, 3
    followed.free([1, 2, 3])  // 2
    followed.allocate(3)  // 3: the same again, for what has no content goes first
    // Of 9 ids the first is gone: block 1 of revision 1.
    #expect(lines(incidents, 1) == ["2@0 released.free 0", "3@0 handedOut 0"])
    #expect(
      lines(incidents, 2) == ["1@0 handedOut 0", "2@0 released.free 0", "3@0 handedOut 0"])
    for _ in 0..<4 {
      followed.allocate(1)
      followed.free([4])
    }
    #expect(lines(incidents, 2) == [])
    #expect(lines(incidents, 4).count == 4)
  }
}
