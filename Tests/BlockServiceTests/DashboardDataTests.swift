import Analysis
@testable import BlockService
import KVBlocks
import Testing

@Suite("What the dashboard reads")
struct DashboardDataTests {
  @Test("a map goes as stretches of equal bytes, or as it is where these are no shorter")
  func mapCode() {
    #expect(MapCode.shortest([2, 2, 2, 0]) == [1, 2, 3, 0, 1])
    // 300 is 44 and twice 128.
    #expect(MapCode.shortest([UInt8](repeating: 5, count: 300)) == [1, 5, 44 | 128, 2])
    let board = (0..<1_000).map { UInt8($0 & 1) }
    #expect(MapCode.shortest(board) == [0] + board)
  }

  @Test("text of clients cannot break out of a string")
  func json() {
    var json = JSONText()
    json.put("label", "a\"b\\c\n\u{2028}é")
    json.put("share", Double.nan)
    json.put("ids", ["1", "2"])
    json.put("runs", [1, 2] as [UInt32])
    #expect(
      json.finished
        == "{\"label\":\"a\\\"b\\\\c\\n\\u2028é\",\"share\":null,\"ids\":[\"1\",\"2\"],\"runs\":[1,2]}"
    )
  }

  @Test("a look says what the pool is like, and is made anew only after a while")
  func look() throws {
    let registry = PoolRegistry()
    #expect(registry.add(name: "a", PoolConfiguration(blocks: 10, blockSize: 4)) == nil)
    var now: UInt64 = 1_000_000
    let service = QuireService(pools: registry, clock: { now })
    service.startSampling(intervalMilliseconds: 1_000)
    let data = DashboardData(service) { [7, 0] }
    let first = try #require(data.look("a"))
    #expect(first.contains("\"blocks\":10,\"free\":10,"))
    #expect(first.contains("\"hist\":[0,0,0,1]"))
    #expect(first.contains("\"lat\":[7,0]"))
    let hosted = try #require(registry.pools.first)
    _ = hosted.pool.apply(one: .allocate(count: 4), into: service.outcome)
    service.noteApplied(hosted)
    now += 400
    #expect(data.look("a") == first)
    now += 100
    let second = try #require(data.look("a"))
    #expect(second.contains("\"blocks\":10,\"free\":6,"))
    // Four raw blocks, then six free ones, in the order of their ids.
    #expect(data.map("a") == [1, 2 | 16, 4, 0, 6])
    #expect(data.look("b") == nil)
    #expect(data.map("b") == nil)
    #expect(data.history("b") == nil)
  }

  @Test("a block says who has it")
  func block() throws {
    let registry = PoolRegistry()
    #expect(registry.add(name: "a", PoolConfiguration(blocks: 10, blockSize: 4)) == nil)
    let service = QuireService(pools: registry)
    let data = DashboardData(service) { [] }
    let pool = try #require(registry.pools.first).pool
    let id: UInt64 = 1 << 60
    _ = pool.apply(
      one: .admit(Admit(sequence: id, add: AddSequence(sequence: id, tokens: 6))),
      into: service.outcome)
    let found = try #require(data.block("a", 2))
    #expect(found.contains("\"state\":\"active\",\"references\":1,"))
    #expect(found.contains("\"fill\":\"partly\""))
    #expect(
      found.contains(
        "\"owner\":\"sequence\",\"session\":\"0\",\"sequence\":\"1152921504606846976\""))
    #expect(found.contains("\"index\":1"))
    #expect(data.block("a", 0) == nil)
    #expect(data.block("a", 11) == nil)
    #expect(try #require(data.block("a", 10)).contains("\"owner\":\"nobody\""))
  }

  @Test(
    "everybody who watches a sequence reads the same text, made anew where the pool has changed")
  func sequence() throws {
    let registry = PoolRegistry()
    #expect(registry.add(name: "a", PoolConfiguration(blocks: 10, blockSize: 4)) == nil)
    var now: UInt64 = 1_000_000
    let service = QuireService(pools: registry, clock: { now })
    let data = DashboardData(service) { [] }
    let pool = try #require(registry.pools.first).pool
    func apply(_ kind: KVBlocks.Operation.Kind) {
      _ = pool.apply(one: kind, into: service.outcome)
    }
    apply(.admit(Admit(sequence: 1, add: AddSequence(sequence: 1, tokens: 6))))
    let first = "{\"sequence\":\"1\",\"state\":\"running\",\"stretches\":[1,2]}"
    #expect(data.sequence("a", session: 0, 1) == first)
    // An hour later nothing has changed.
    now += 3_600_000
    #expect(data.sequence("a", session: 0, 1) == first)
    #expect(data.places.made == 1)
    apply(.extend(Extend(sequence: 1, appendTokens: 4)))
    let second = try #require(data.sequence("a", session: 0, 1))
    #expect(second.contains("\"stretches\":[1,3]"))
    apply(.extend(Extend(sequence: 1, appendTokens: 4)))
    now += 400
    for _ in 0..<100 { #expect(data.sequence("a", session: 0, 1) == second) }
    now += 100
    #expect(data.sequence("a", session: 0, 1)?.contains("\"stretches\":[1,4]") == true)
    #expect(data.places.made == 3)
    // What is gone is gone at once, and what comes under its name is another.
    var id: SequenceID = 1
    withUnsafePointer(to: &id) {
      apply(.freeSequences(UnsafeBufferPointer(start: $0, count: 1), ignoresMissing: false))
    }
    #expect(data.sequence("a", session: 0, 1) == nil)
    apply(.admit(Admit(sequence: 1, add: AddSequence(sequence: 1, tokens: 1))))
    #expect(data.sequence("a", session: 0, 1)?.contains("\"stretches\":[4,1]") == true)
    // Though nobody asked in between.
    withUnsafePointer(to: &id) {
      apply(.freeSequences(UnsafeBufferPointer(start: $0, count: 1), ignoresMissing: false))
    }
    apply(.admit(Admit(sequence: 1, add: AddSequence(sequence: 1, tokens: 9))))
    #expect(data.sequence("a", session: 0, 1)?.contains("\"stretches\":[2,3]") == true)
    #expect(data.sequence("a", session: 1, 1) == nil)
    #expect(data.sequence("b", session: 0, 1) == nil)
  }
}
