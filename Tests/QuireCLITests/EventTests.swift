import QuireCLI
import Testing

private func batch(_ kind: String, _ body: Message) -> Message {
  var event = Message("KvEvent")
  event.set(kind, body)
  var batch = Message("KvEventBatch")
  batch.set("sequence_number", 12)
  batch.set("epoch", 5)
  batch.set("pool", "p")
  batch.set("revision", 34)
  batch.set("timestamp", real: 3_723.5)
  batch.set("events", list: [event])
  return batch
}

private let head = "01:02:03  #12  r34  "

@Suite("events a line each")
struct EventTests {
  @Test("stored names blocks, hashes and what they follow")
  func stored() {
    var body = Message("BlockStored")
    body["block_hashes"] = .bytes(
      Array(repeating: 0xAB, count: 32) + Array(repeating: 0x01, count: 32))
    body["parent_block_hash"] = .bytes(Array(repeating: 0xFF, count: 32))
    body.set("block_ids", list: [3, 4])
    #expect(
      EventText.lines(batch("stored", body)) == head
        + "stored          blocks 3-4  abababababab 010101010101  after ffffffffffff\n")
    let row = EventText.rows(batch("stored", body))[0]
    #expect(row.count == EventText.columns.count)
    #expect(row[5...6] == ["stored", "3;4"])
    #expect(row[7].count == 129 && row[7].contains(";"))
  }

  @Test("removed says by what")
  func removed() {
    var body = Message("BlockRemoved")
    body["block_hashes"] = .bytes(Array(repeating: 0x20, count: 16))
    body.set("block_ids", list: [9])
    body.set("cause", 1)
    #expect(
      EventText.lines(batch("removed", body)) == head
        + "removed         blocks 9  202020202020  by allocation\n")
    #expect(
      EventText.lines(batch("copies_removed", body)).contains("copies removed  blocks 9"))
  }

  @Test("forks, copies and moves name their sequences and blocks")
  func others() {
    var fork = Message("BlocksForked")
    fork.set("parent_id", 7)
    fork.set("child_ids", list: [8, 9])
    #expect(
      EventText.lines(batch("forked", fork)) == head + "forked          sequence 7 -> 8, 9\n")
    var order = Message("CopyOrder")
    order.set("copy_id", 2)
    order.set("source_block", 49)
    order.set("target_block", 3)
    order.set("tokens", 16)
    order.set("sequence_id", 7)
    order.set("target_tier", 2)
    var move = Message("BlockMoved")
    move.set("copy", order)
    move.set("cause", 7)
    #expect(
      EventText.lines(batch("moved", move)) == head
        + "moved           49 -> host 3, 16 tokens, sequence 7, copy 2  by swap-out\n")
    #expect(
      EventText.rows(batch("moved", move))[0].suffix(7) == [
        "swap-out", "7", "", "2", "49", "3", "16",
      ])
    #expect(
      EventText.lines(batch("cleared", Message("AllBlocksCleared"))) == head + "cleared         \n"
        || EventText.lines(batch("cleared", Message("AllBlocksCleared"))).contains("cleared"))
  }

  @Test("an event of a newer server and nonsense have a line, too")
  func odd() {
    var empty = Message("KvEventBatch")
    empty.set("events", list: [Message("KvEvent")])
    #expect(EventText.lines(empty).hasSuffix("?\n"))
    var body = Message("BlockStored")
    body["block_hashes"] = .bytes([1, 2, 3])
    #expect(EventText.lines(batch("stored", body)).contains("010203"))
    #expect(EventText.rows(empty)[0].count == EventText.columns.count)
  }
}
