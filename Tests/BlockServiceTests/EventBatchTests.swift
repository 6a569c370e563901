import BlockMessages
import BlockService
import KVBlocks
import Testing

@Suite("batches of events")
struct EventBatchTests {
  private func harness(blocks: UInt32, ringBytes: Int) -> ServiceHarness {
    var options = EventOptions()
    options.recording = .on
    options.ringBytes = ringBytes
    return ServiceHarness(blocks: blocks, blockSize: 1, events: options)
  }

  /// Of block `id`, by its number alone.
  private func hash(_ id: UInt32) -> [UInt8] {
    withUnsafeBytes(of: id) { Array($0) } + [UInt8](repeating: 0xAB, count: 28)
  }

  private func cache(_ harness: ServiceHarness, _ ids: [UInt32]) {
    harness.succeed(
      "BlockPool/CacheBlocks", .cacheBlocks(ids, blockHashes: ids.flatMap(hash)))
  }

  @Test("a command that tells more than fits one has several, with nothing lost between them")
  func several() throws {
    let harness = harness(blocks: 8_000, ringBytes: 4 << 20)
    let ids = try harness.allocate(8_000)
    let subscriber = Subscriber(harness)
    _ = try subscriber.take()
    // Of five blocks the first and the third are cached already: then one is told alone, and two together.
    cache(harness, ids.filter { $0 % 5 == 1 || $0 % 5 == 3 })
    #expect(try subscriber.events().count == 4)
    cache(harness, ids)

    let batches = try subscriber.take()
    // 1,600 times 77 or 78 bytes and 111 to 113: more than 256 KiB, and less than twice as much.
    #expect(batches.count == 2 && batches[0].revision == batches[1].revision)
    #expect(batches[1].number == batches[0].number + 1)
    var expected: [KvEventFields] = []
    for first in stride(from: UInt32(1), to: 8_000, by: 5) {
      for told in [[first + 1], [first + 3, first + 4]] {
        var fields = BlockStoredFields()
        fields.hashes = told.flatMap(hash)
        fields.blockIDs = told
        fields.blockSize = 1
        fields.parentHash = hash(told[0] - 1)
        expected.append(.stored(fields))
      }
    }
    #expect(batches.flatMap(\.events) == expected)
  }

  @Test("a fork behind blocks that were stored is told behind them")
  func fork() throws {
    let harness = harness(blocks: 128, ringBytes: 1 << 20)
    let subscriber = Subscriber(harness, all: true)
    _ = try subscriber.take()
    var add = AddFields(sequenceID: 1, tokenCount: 0)
    // As many as the list of a log has room for at first.
    add.content.tokenIDs = Array(0..<64)
    let step = StepFields(operations: [
      .init(.admit(AdmitFields(sequenceID: 0, add: add))), .init(.fork(parent: 1, children: [2])),
    ])
    #expect(try !harness.step(step).result(1).isRefused)
    let events = try subscriber.events()
    #expect(events.count == 2)
    guard case .stored(let stored) = events[0] else {
      Issue.record("not a stored event")
      return
    }
    #expect(stored.blockIDs == Array(1...64))
    #expect(events[1] == .forked(session: 0, parentID: 1, childIDs: [2]))
  }

  @Test("each block that is taken for another content is told alone")
  func removedOnce() throws {
    let harness = harness(blocks: 4, ringBytes: 1 << 20)
    let ids = try harness.allocate(4)
    cache(harness, ids)
    harness.succeed("BlockPool/Free", .freeBlocks(ids))
    let subscriber = Subscriber(harness)
    _ = try subscriber.take()
    // One at a time, as they are wanted: each is told alone.
    for id in ids {
      _ = try harness.allocate(1)
      var fields = BlockRemovedFields()
      fields.hashes = hash(id)
      fields.blockIDs = [id]
      fields.cause = .allocation
      #expect(try subscriber.events() == [.removed(fields)])
    }
  }
}
