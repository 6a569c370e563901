import BlockMessages
import GRPCWire
import QuireCLI
import Testing

private func decoded(_ name: String, _ bytes: [UInt8]) -> Message? {
  bytes.withUnsafeBytes { Message(name, decoding: $0) }
}

@Suite("messages by the names of the contract")
struct MessageTests {
  @Test("the fields of a reply are found by name")
  func reply() throws {
    // Stats: pool "a", revision 300, capacity 7; refusals {NO_RUN 2}; free_runs {1, 5, [5, 1]}.
    let bytes: [UInt8] = [
      0x0A, 1, 0x61, 0x10, 0xAC, 0x02, 0x18, 7, 0xD2, 0x01, 4, 0x08, 3, 0x10, 2, 0x9A, 0x02, 8,
      0x08,
      1, 0x10, 5, 0x1A, 2, 5, 1,
    ]
    let stats = try #require(decoded("Stats", bytes))
    #expect(stats.text("pool") == "a")
    #expect(stats.number("revision") == 300)
    #expect(stats.number("capacity_blocks") == 7)
    #expect(stats.number("free_blocks") == 0)
    let refusals = stats.messages("refusals")
    #expect(refusals.map { $0.word("reason") } == ["no-run"])
    #expect(refusals[0].number("count") == 2)
    #expect(stats.message("free_runs")?.numbers("ten_largest") == [5, 1])
    #expect(stats.message("available_runs") == nil)
  }

  @Test("a server that packs a message and this reader agree on it")
  func agreement() throws {
    var packer = MessagePacker()
    packer.getStatsRequest(
      call: CallFields(pool: "p", session: 9), includesRuns: true, includesSlots: true)
    let request = try #require(decoded("GetStatsRequest", Array(packer.bytes)))
    #expect(request.message("call")?.text("pool") == "p")
    #expect(request.message("call")?.number("session") == 9)
    #expect(request.json.contains("STATS_INCLUDE_RUNS"))
  }

  @Test("what is written reads back, members of a oneof that are 0 among it")
  func roundTrip() throws {
    var call = Message("Call")
    call.set("pool", "ü")
    call.set("session", UInt64.max)
    var request = Message("PlanDefragmentRequest")
    request.set("call", call)
    request.set("sequence_id", 0)
    let again = try #require(decoded("PlanDefragmentRequest", request.encoded))
    #expect(again == request)
    #expect(again.has("sequence_id") && !again.has("contiguous_blocks"))
    var sequence = Message("Sequence")
    sequence["priority"] = .signed(-3)
    sequence.set("block_ids", list: [1, 200, 70_000])
    #expect(decoded("Sequence", sequence.encoded) == sequence)
    var free = Message("FreeSequences")
    free.set("sequence_ids", list: [1, UInt64.max])
    #expect(decoded("FreeSequences", free.encoded) == free)
  }

  @Test("bytes that are no message, or one of another kind, are no message")
  func nonsense() {
    #expect(decoded("Stats", [0x0A, 5, 1]) == nil)
    #expect(decoded("Stats", [0x08, 1]) == nil)
    #expect(decoded("FreeRuns", [0x1A, 1, 0x80]) == nil)
    // A field that this contract does not know.
    #expect(decoded("FreeRuns", [0xF8, 0x07, 1]) == Message("FreeRuns"))
  }

  @Test("a flood of nested messages is no message, and a long table is one")
  func flood() throws {
    // Samples with empty stats: four bytes, some eighty fields each.
    let samples = [UInt8](repeatElement([0x12, 2, 0x12, 0], count: 300_000).joined())
    let isBelieved = decoded("History", samples) != nil
    #expect(!isBelieved)
    var sequence = Message("Sequence")
    sequence.set("block_ids", list: Array(repeating: 1, count: 100_000))
    #expect(decoded("Sequence", sequence.encoded)?.numbers("block_ids").count == 100_000)
  }

  // Messages may gain fields behind those named here.
  @Test("JSON has all fields on one line, text quoted, bytes in hexadecimal, absent as null")
  func json() {
    var moved = Message("BlockMoved")
    moved["block_hash"] = .bytes([0x0A, 0xFF])
    #expect(moved.json.hasPrefix(#"{"session":0,"copy":null,"block_hash":"0aff""#))
    #expect(!moved.json.contains("\n") && moved.json.hasSuffix("}"))
    var owner = Message("OwnerFootprint")
    owner.set("name", "a\"b\n")
    #expect(owner.json.hasPrefix(#"{"session":0,"name":"a\"b\n","blocks":0,"sequences":0"#))
  }

  @Test("CSV spreads what a message holds over columns, and joins lists in a cell")
  func csv() {
    #expect(
      Message.columns("SequenceFootprint").prefix(2) == [
        "sequence.sequence_id", "sequence.session",
      ])
    var footprint = Message("SequenceFootprint")
    footprint.set("unused_slots", 3)
    #expect(footprint.cells.count == Message.columns("SequenceFootprint").count)
    let unused = Message.columns("SequenceFootprint").firstIndex(of: "unused_slots")!
    #expect(footprint.cells[unused...(unused + 1)] == ["3", "0"])
    var count = Message("RefusalCount")
    count.set("reason", 3)
    count.set("count", 8)
    var stats = Message("Stats")
    stats.set("refusals", list: [count, count])
    let place = Message.columns("Stats").firstIndex(of: "refusals")!
    #expect(stats.cells[place] == "no-run:8;no-run:8")
    var owner = Message("OwnerFootprint")
    owner.set("name", "=1+1\u{1B}[2J")
    #expect(owner.cells[1] == "'=1+1?[2J")
    #expect(CSVText.row(["a,b", "c\"d", "e"]) == "\"a,b\",\"c\"\"d\",e\n")
  }
}
