import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Events.SubscribeKvEvents")
struct EventTests {
  private func options(_ change: (inout EventOptions) -> Void = { _ in }) -> EventOptions {
    var options = EventOptions()
    options.recording = .on
    options.ringBytes = 1 << 20
    change(&options)
    return options
  }

  @Test("tells what became hit-able, and with its last copy that it is gone")
  func storedAndRemoved() throws {
    let harness = ServiceHarness(blocks: 4, events: options())
    let subscriber = Subscriber(harness)
    let hello = try subscriber.take()
    #expect(hello.map(\.number) == [0] && hello[0].events.isEmpty && hello[0].epoch > 0)

    // Nothing is told of blocks that nobody can hit.
    _ = try harness.allocate(3)
    #expect(try subscriber.take() == [])
    harness.cache([1, 2], [10, 11])
    #expect(
      try subscriber.take() == [
        Batch(number: 1, epoch: hello[0].epoch, revision: 2, events: [stored([10, 11], [1, 2])])
      ])

    // Block 3 is a copy of block 1: block 1 goes and nothing is lost, block 3 goes and it is.
    harness.cache([3], [10])
    #expect(try subscriber.events() == [stored([10], [3])])
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([1]))
    let second = try subscriber.take()
    #expect(second.map(\.number) == [3] && second[0].events.isEmpty)
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([3]))
    #expect(try subscriber.events() == [removed([10], [3], .request)])

    // What an allocation needs, it removes.
    harness.succeed("BlockPool/Free", .freeBlocks([1, 2, 3]))
    _ = try harness.allocate(4)
    let last = try subscriber.take()
    #expect(last.map(\.number) == [5])
    #expect(last[0].events == [removed([11], [2], .allocation)])
    #expect(last[0].revision == harness.pool.revision)
  }

  @Test("asks to be pumped at the first event that a subscriber has not got, and then at no other")
  func asksOnce() throws {
    let harness = ServiceHarness(blocks: 8, events: options())
    var asked = 0
    harness.service.events.onEvents = { asked += 1 }
    _ = try harness.allocate(4)
    harness.cache([1], [10])
    #expect(asked == 0)
    let subscriber = Subscriber(harness)
    harness.cache([2], [11])
    harness.cache([3], [12])
    #expect(asked == 1)
    #expect(try subscriber.events() == [stored([11], [2]), stored([12], [3])])
    harness.cache([4], [13])
    #expect(asked == 2)
    #expect(try subscriber.events() == [stored([13], [4])])
    subscriber.cancel()
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([4]))
    #expect(asked == 2)
  }

  @Test("tells those who follow blocks of copies that go, forks, copies and moves")
  func moreKinds() throws {
    let harness = ServiceHarness(blocks: 8, copyAck: .explicit, events: options())
    let subscriber = Subscriber(harness, all: true)
    let plain = Subscriber(harness)
    _ = try (subscriber.take(), plain.take())
    _ = try harness.allocate(2)
    harness.cache([1], [10])
    harness.cache([2], [10])
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([1]))
    #expect(
      try subscriber.events() == [
        stored([10], [1]), stored([10], [2]),
        .copiesRemoved(removal([10], [1], .request, left: [1])),
      ])
    #expect(try plain.take().map(\.events) == [[stored([10], [1])], [stored([10], [2])], []])

    harness.succeed(
      "Sequences/Admit", .admit(.init(sequenceID: 0, add: .init(sequenceID: 5, tokenCount: 6))))
    harness.succeed("Sequences/Fork", .fork(parent: 5, children: [6, 7]))
    #expect(try subscriber.events() == [.forked(session: 0, parentID: 5, childIDs: [6, 7])])
    // Its second block is shared and gets a token: a copy of two slots.
    harness.succeed("Sequences/Extend", .extend(.init(sequenceID: 6, appendTokens: 1)))
    let copies = try subscriber.events()
    guard case .copied(session: 0, let copy)? = copies.first, copies.count == 1 else {
      Issue.record("no copy: \(copies)")
      return
    }
    #expect((copy.sourceBlock, copy.tokens, copy.sequenceID) == (4, 2, 6))
    #expect(try plain.take().map { $0.events.count } == [0, 0])
  }

  @Test(
    "tells of a content that goes with all its blocks at once in the order in which they lose it")
  func allCopies() throws {
    let harness = ServiceHarness(events: options())
    let subscriber = Subscriber(harness, all: true)
    _ = try harness.allocate(3)
    harness.cache([1], [10])
    harness.cache([2, 3], [10, 11])
    _ = try subscriber.take()
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([1, 2, 3]))
    #expect(
      try subscriber.events() == [
        .copiesRemoved(removal([10], [1], .request, left: [1])),
        removed([10, 11], [2, 3], .request),
      ])
  }

  @Test("tells a reset as one event, without the blocks that it takes")
  func cleared() throws {
    let harness = ServiceHarness(blocks: 4, events: options())
    let subscriber = Subscriber(harness)
    _ = try harness.allocate(2)
    harness.cache([1, 2], [10, 11])
    harness.succeed("BlockPool/Free", .freeBlocks([1, 2]))
    _ = try subscriber.take()
    let (status, _) = harness.call(
      "Pools/ResetPrefixCache", harness.packed { $0.poolRequest(call: .init()) })
    #expect(status == .ok)
    #expect(try subscriber.events() == [.cleared(.resetPrefixCache)])
    _ = harness.call("Pools/ResetPool", harness.packed { $0.poolRequest(call: .init()) })
    #expect(try subscriber.events() == [.cleared(.resetPool)])
  }

  @Test("goes on from any batch that is kept, and says which is the oldest where it is not")
  func resume() throws {
    let harness = ServiceHarness(events: options { $0.ringBatches = 3 })
    _ = try harness.allocate(5)
    for block in 1...5 { harness.cache([UInt32(block)], [UInt8(block)]) }
    let epoch = try Subscriber(harness).take()[0].epoch
    #expect(try Subscriber(harness, start: 3).take().map(\.number) == [3, 4, 5])
    #expect(try Subscriber(harness, start: 5, epoch: epoch).take().map(\.number) == [5])
    // The next one: there is nothing yet, and a heartbeat says so.
    let next = Subscriber(harness, start: 6)
    #expect(try next.take().map(\.number) == [5])
    harness.succeed("BlockPool/EvictBlocks", .evictBlocks([1]))
    #expect(try next.take().map(\.number) == [6])

    let late = Subscriber(harness, start: 3).responses.status
    #expect(late?.code == .outOfRange)
    #expect(late?.message.contains("the oldest one is 4") == true)
    let early = Subscriber(harness, start: 8).responses.status
    #expect(early?.code == .outOfRange)
    #expect(early?.message.contains("the next one is 7") == true)
    #expect(Subscriber(harness, start: 5, epoch: epoch &+ 1).responses.status?.code == .outOfRange)
  }

  @Test("keeps as many bytes as it may, across the end of its memory and back")
  func bytes() throws {
    // A batch of 1,000 blocks has 32,000 bytes of hashes, and ids of one or two bytes: 28 to 33 of
    // them are a mebibyte.
    let harness = ServiceHarness(blocks: 1_000, events: options())
    let blocks = try harness.allocate(1_000)
    let hashes: [UInt8] = (0..<1_000).flatMap { (i: Int) -> [UInt8] in
      [UInt8(i % 256), UInt8(i / 256)] + [UInt8](repeating: 1, count: 30)
    }
    let live = Subscriber(harness)
    for _ in 0..<100 {
      harness.succeed("BlockPool/CacheBlocks", .cacheBlocks(blocks, blockHashes: hashes))
      harness.succeed("BlockPool/EvictBlocks", .evictBlocks(blocks))
    }
    let seen = try live.take()
    // Pumped once only, long after: what was pushed out is lost to it.
    #expect(live.responses.status?.code == .dataLoss)
    #expect(seen.map(\.number) == [0])
    let message = try #require(Subscriber(harness, start: 1).responses.status?.message)
    let word = try #require(message.split(separator: " ").dropFirst(9).first)
    let oldest = try #require(UInt64(word))
    #expect((168...173).contains(oldest), "\(message)")
    let kept = try Subscriber(harness, start: oldest).take()
    #expect(kept.map(\.number) == Array(oldest...200))
    for batch in kept {
      guard case .stored(let event)? = batch.events.first else { continue }
      #expect(event.hashes == hashes && event.blockIDs == blocks)
    }
  }

  @Test("tells of a fork into very many children in parts, of which each fits its batch")
  func manyChildren() throws {
    // Ten bytes for each: 1.2 MB, more than the smallest ring has.
    let children = (0..<UInt64(120_000)).map { UInt64.max - $0 }
    for ringBytes in [4 << 20, EventOptions.leastRingBytes] {
      let harness = ServiceHarness(events: options { $0.ringBytes = ringBytes })
      let subscriber = Subscriber(harness, all: true)
      harness.succeed(
        "Sequences/Admit", .admit(.init(sequenceID: 0, add: .init(sequenceID: 5, tokenCount: 4))))
      harness.succeed("Sequences/Fork", .fork(parent: 5, children: children))
      let batches = try subscriber.take()
      if ringBytes == EventOptions.leastRingBytes {
        #expect(subscriber.responses.status?.code == .dataLoss)
        continue
      }
      // 29 events of 4,096 children and one of the rest, six in 256 KiB.
      #expect(batches.map(\.events.count) == [0, 6, 6, 6, 6, 6])
      var told: [UInt64] = []
      for event in batches.flatMap(\.events) {
        guard case .forked(session: 0, parentID: 5, let part) = event else {
          Issue.record("not a fork")
          continue
        }
        told += part
      }
      #expect(told == children)
    }
  }

  @Test("ends a subscriber that falls behind with DATA_LOSS, and waits for nobody")
  func slow() throws {
    let harness = ServiceHarness(events: options { $0.ringBatches = 4 })
    let slow = Subscriber(harness)
    let fast = Subscriber(harness)
    _ = try (slow.take(), fast.take())
    slow.responses.queuedBytes = 1 << 20
    _ = try harness.allocate(1)
    for number in 1...4 {
      harness.cache([1], [UInt8(number)])
      harness.succeed("BlockPool/EvictBlocks", .evictBlocks([1]))
      #expect(try fast.take().map(\.number) == [UInt64(2 * number - 1), UInt64(2 * number)])
    }
    // After the third round there are six batches, of which the first two are gone.
    #expect(slow.responses.messages.count == 1)
    #expect(slow.responses.status?.code == .dataLoss)
    #expect(slow.responses.status?.message.hasPrefix("batches 1 to 2 were not read") == true)
    #expect(fast.responses.status == nil)
  }

  @Test("goes on when its transport has room again")
  func drained() throws {
    let harness = ServiceHarness(events: options())
    let subscriber = Subscriber(harness)
    _ = try subscriber.take()
    subscriber.responses.queuedBytes = 1 << 20
    _ = try harness.allocate(1)
    harness.cache([1], [1])
    #expect(try subscriber.take() == [])
    subscriber.responses.queuedBytes = 0
    subscriber.drain()
    #expect(subscriber.responses.messages.count == 2)
    #expect(try subscriber.events() == [stored([1], [1])])
  }

  @Test(
    "begins with the first subscriber where nobody asked before, and counts what was as batch 1")
  func demand() throws {
    let harness = ServiceHarness(events: options { $0.recording = .demand })
    _ = try harness.allocate(2)
    harness.cache([1], [1])
    #expect(harness.pool.changeLog == nil)
    let first = Subscriber(harness, start: 1).responses.status
    #expect(first?.code == .outOfRange && first?.message.contains("the oldest one is 2") == true)
    let subscriber = Subscriber(harness)
    harness.cache([2], [2])
    #expect(try subscriber.take().map(\.number) == [1, 2])

    // It is kept for those who come back, and not for ever.
    subscriber.cancel()
    let epoch = try subscriber.take().first?.epoch
    #expect(epoch == nil)
    harness.clock.now = 599_999
    #expect(harness.service.events.tick())
    #expect(harness.pool.changeLog != nil)
    harness.clock.now = 600_000
    #expect(!harness.service.events.tick())
    #expect(harness.pool.changeLog == nil)
  }

  @Test("is refused where events are off")
  func off() {
    let harness = ServiceHarness(events: options { $0.recording = .off })
    let status = Subscriber(harness).responses.status
    #expect(status?.code == .failedPrecondition)
    #expect(status?.message.contains("--kv-events") == true)
    #expect(harness.pool.changeLog == nil)
  }

  @Test("is UNAVAILABLE past so many subscribers, and served again when one has left")
  func subscribers() {
    let harness = ServiceHarness(events: options { $0.mostSubscribers = 2 })
    let first = Subscriber(harness)
    let second = Subscriber(harness)
    let status = Subscriber(harness).responses.status
    #expect(status?.code == .unavailable)
    #expect(status?.message.contains("--kv-events-subscribers") == true)
    first.cancel()
    let third = Subscriber(harness)
    #expect(third.responses.status == nil && second.responses.status == nil)
  }

  @Test("says at times that there is nothing new")
  func heartbeats() throws {
    let harness = ServiceHarness(events: options())
    let subscriber = Subscriber(harness)
    _ = try harness.allocate(1)
    harness.cache([1], [1])
    _ = try subscriber.take()
    #expect(harness.service.events.tick())
    let beat = try subscriber.take()
    #expect(beat.map(\.number) == [1] && beat[0].events.isEmpty)
    #expect(beat[0].revision == 2)
    subscriber.cancel()
    #expect(!harness.service.events.tick())
    #expect(try subscriber.take() == [])
  }

  @Test("begins a new epoch when another pool is loaded, and ends when the pool is deleted")
  func epochs() throws {
    let harness = ServiceHarness(events: options())
    let subscriber = Subscriber(harness)
    let old = try subscriber.take()[0].epoch
    _ = try harness.allocate(1)
    harness.cache([1], [1])
    #expect(try subscriber.take().map(\.epoch) == [old])
    harness.reload()
    let batches = try subscriber.take()
    #expect(batches.map(\.number) == [2] && batches[0].epoch != old)
    #expect(batches[0].events == [.cleared(.loadPool)])

    _ = harness.call(
      "Pools/DeletePool", harness.packed { $0.poolRequest(call: .init(), flag: true) })
    #expect(subscriber.responses.status?.code == .notFound)
  }

  @Test("has the token ids of those who want them, where the pool keeps them")
  func tokens() throws {
    let harness = ServiceHarness(blocks: 8, events: options(), keepsTokens: true)
    let with = Subscriber(harness, tokens: true)
    let without = Subscriber(harness)
    _ = try (with.take(), without.take())
    var add = AddFields(sequenceID: 1, tokenCount: 0)
    add.content.tokenIDs = Array(100..<110)
    harness.succeed("Sequences/Admit", .admit(.init(sequenceID: 0, add: add)))
    var extend = ExtendFields(sequenceID: 1)
    extend.append.tokenIDs = [110, 111, 112]
    harness.succeed("Sequences/Extend", .extend(extend))
    guard case .stored(let first)? = try with.events().first,
      case let rest = try without.events(), case .stored(var same)? = rest.first
    else {
      Issue.record("nothing was stored")
      return
    }
    #expect(first.tokenIDs == Array(100..<108))
    #expect(first.blockIDs == [1, 2] && first.parentHash == [] && first.hashes.count == 64)
    #expect(same.tokenIDs == [])
    same.tokenIDs = first.tokenIDs
    #expect(same == first)
    guard rest.count == 2, case .stored(let second) = rest[1] else {
      Issue.record("the third block was not stored")
      return
    }
    #expect(second.parentHash == Array(first.hashes[32...]) && second.blockIDs == [3])

    let blocks = try harness.dump(tokens: true, parents: true).blocks
    #expect(blocks.map(\.id) == [1, 2, 3, 4])
    #expect(
      blocks.map(\.tokenIDs) == [
        [100, 101, 102, 103], [104, 105, 106, 107], [108, 109, 110, 111], [],
      ])
    #expect(
      blocks.map(\.parentHash) == [[], Array(first.hashes[..<32]), Array(first.hashes[32...]), []])
    #expect(try harness.dump().blocks.allSatisfy { $0.tokenIDs.isEmpty && $0.parentHash.isEmpty })
  }

  @Test("keep no pool: one that was recorded goes with its registry")
  func lifetime() throws {
    weak var hosted: HostedPool?
    do {
      let harness = ServiceHarness(blocks: 8, events: options())
      hosted = harness.registry.pools[0]
      let subscriber = Subscriber(harness)
      _ = try subscriber.take()
      subscriber.cancel()
      #expect(hosted != nil)
    }
    #expect(hosted == nil)
  }
}
