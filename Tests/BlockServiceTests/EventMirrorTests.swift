import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import TestSupport
import Testing

/// What can be hit, kept from events alone.
struct EventMirror {
  /// By block, for a subscriber that asked for all kinds.
  private(set) var blocks: [UInt32: [UInt8]] = [:]
  /// For any subscriber.
  private(set) var hittable: Set<[UInt8]> = []
  private(set) var epoch: UInt64
  private(set) var next: UInt64
  private(set) var events = 0

  init(_ picture: Picture) {
    epoch = picture.epoch
    next = picture.next
    for block in picture.blocks where block.tier == 0 && !block.hash.isEmpty {
      blocks[block.id] = block.hash
      hittable.insert(block.hash)
    }
  }

  /// Events since it was asked for last.
  mutating func takeCount() -> Int {
    defer { events = 0 }
    return events
  }

  /// False: begin anew with a dump.
  mutating func follow(_ batches: [Batch]) -> Bool {
    for batch in batches {
      if batch.epoch != epoch { return false }
      // A heartbeat.
      if batch.number == next - 1 && batch.events.isEmpty { continue }
      #expect(batch.number == next)
      next += 1
      for event in batch.events { apply(event) }
      events += batch.events.count
    }
    return true
  }

  private mutating func apply(_ event: KvEventFields) {
    switch event {
    case .stored(let stored):
      for (id, hash) in zip(stored.blockIDs, Self.hashes(stored.hashes)) {
        #expect(blocks.updateValue(hash, forKey: id) == nil, "\(id) had content")
        hittable.insert(hash)
      }
    case .removed(let removed):
      for (id, hash) in zip(removed.blockIDs, Self.hashes(removed.hashes)) {
        #expect(blocks.removeValue(forKey: id) == hash, "\(id) had other content")
        #expect(hittable.remove(hash) != nil, "was removed and could not be hit")
        #expect(!blocks.values.contains(hash), "was removed and a block has it")
      }
    case .copiesRemoved(let removed):
      for (id, hash) in zip(removed.blockIDs, Self.hashes(removed.hashes)) {
        #expect(blocks.removeValue(forKey: id) == hash, "\(id) had other content")
      }
    case .cleared:
      blocks = [:]
      hittable = []
    case .moved(_, let copy, let hash, .defragment):
      let content = blocks.removeValue(forKey: copy.sourceBlock)
      #expect(hash == content ?? [])
      if let content { blocks[copy.targetBlock] = content }
    case .moved, .forked, .copied: break
    }
  }

  private static func hashes(_ bytes: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: bytes.count, by: 32).map { Array(bytes[$0..<$0 + 32]) }
  }

  /// What differs from a picture taken when all was followed; nil where nothing does.
  func difference(from picture: Picture) -> String? {
    if picture.epoch != epoch || picture.next != next {
      return "the dump is before batch \(picture.next), the mirror before \(next)"
    }
    let other = EventMirror(picture)
    if other.blocks != blocks { return "\(other.blocks.count) blocks, not \(blocks.count)" }
    return other.hittable == hittable && Set(blocks.values) == hittable
      ? nil : "\(other.hittable.count) contents, not \(hittable.count)"
  }
}

@Suite("a mirror of a pool")
struct EventMirrorTests {
  /// A client that makes up its mind at random: chats with common beginnings, raw blocks, resets.
  private struct Walk {
    let harness: ServiceHarness
    var random: SplitMix64
    var live: [UInt64] = []
    var raw: [UInt32] = []
    var nextSequence: UInt64 = 1

    mutating func number(_ range: ClosedRange<Int>) -> Int { .random(in: range, using: &random) }

    mutating func step() {
      switch number(0...99) {
      case 0..<25: admit()
      case 25..<60: decode()
      case 60..<78: free()
      case 78..<83: fork()
      case 83..<88: cacheRaw()
      case 88..<92: evict()
      case 92..<95: rewind()
      case 95..<97: preempt()
      case 97..<99: defragment()
      default: if number(0...4) == 0 { reset() }
      }
    }

    private func run(_ operation: OperationFields) -> Bool {
      let (status, reply) = harness.call(
        "Scheduler/Step",
        harness.packed { $0.stepRequest(StepFields(operations: [.init(operation)])) })
      #expect(status == .ok, "\(status.message)")
      do {
        return try !harness.decode(StepReplyMessage.self, reply).result(0).isRefused
      } catch {
        Issue.record("a reply that is none: \(error)")
        return false
      }
    }

    private mutating func admit() {
      var add = AddFields(sequenceID: nextSequence, tokenCount: 0)
      // Few prompts, of which many begin alike.
      let kind = UInt32(number(0...3))
      let count = number(1...40)
      add.content.tokenIDs = (0..<count).map { $0 < 20 ? kind : kind * 1_000 + UInt32($0 / 8) }
      if run(.admit(.init(sequenceID: 0, add: add))) { live.append(nextSequence) }
      nextSequence += 1
    }

    private mutating func decode() {
      guard let id = live.randomElement(using: &random) else { return }
      var extend = ExtendFields(sequenceID: id)
      extend.append.tokenIDs = (0..<number(1...6)).map { _ in UInt32(number(0...1)) }
      extend.delaysCommit = number(0...3) == 0
      _ = run(.extend(extend))
    }

    private mutating func free() {
      guard !live.isEmpty else { return }
      _ = run(.freeSequences([live.remove(at: number(0...live.count - 1))]))
    }

    private mutating func fork() {
      guard let parent = live.randomElement(using: &random) else { return }
      if run(.fork(parent: parent, children: [nextSequence])) { live.append(nextSequence) }
      nextSequence += 1
    }

    private mutating func cacheRaw() {
      if number(0...1) == 0, !raw.isEmpty {
        let held = raw.removeFirst()
        _ = run(.freeBlocks([held]))
        return
      }
      let free = harness.pool.stats().free + harness.pool.stats().cached
      if free < 4 { return }
      let reply = harness.succeed("BlockPool/Allocate", .allocate(count: 1))
      let block: UInt32
      do {
        block = try harness.decode(AllocateReplyMessage.self, reply).blockIDs[0]
      } catch {
        Issue.record("a reply that is none: \(error)")
        return
      }
      raw.append(block)
      _ = run(.cacheBlocks([block], blockHashes: ServiceHarness.hash(UInt8(number(0...5)))))
    }

    private mutating func evict() {
      let count = Int(harness.pool.configuration.blocks)
      _ = run(.evictBlocks(Array(Set((0..<3).map { _ in UInt32(number(1...count)) }))))
    }

    private mutating func rewind() {
      guard let id = live.randomElement(using: &random) else { return }
      _ = run(.rewind(sequence: id, dropTokens: UInt32(number(1...9)), releasesBlocks: true))
    }

    private mutating func preempt() {
      guard let id = live.randomElement(using: &random) else { return }
      _ = run(.preempt([id]))
      _ = run(.freeSequences([id]))
      live.removeAll { $0 == id }
    }

    private func defragment() {
      let (status, plan) = harness.call(
        "Pools/PlanDefragment", harness.packed { $0.call(CallFields()) })
      if status != .ok { return }
      // The reply is the plan that the next request has. The copies are done with the next step.
      _ = harness.call(
        "Pools/ApplyDefragment",
        harness.packed { packer in
          plan.withUnsafeBytes { packer.bytes(2, $0) }
          packer.call(CallFields())
        })
    }

    private mutating func reset() {
      if number(0...1) == 0 {
        _ = harness.call("Pools/ResetPrefixCache", harness.packed { $0.poolRequest(call: .init()) })
      } else {
        _ = harness.call(
          "Pools/ResetPool", harness.packed { $0.poolRequest(call: .init(), flag: true) })
        live = []
        raw = []
      }
    }
  }

  @Test(
    "built from events equals a dump of the state, whenever and however often it was away",
    arguments: [1, 2, 3] as [UInt64])
  func mirror(seed: UInt64) throws {
    var options = EventOptions()
    options.recording = seed == 1 ? .on : .demand
    options.ringBytes = 1 << 20
    options.ringBatches = 64
    let harness = ServiceHarness(
      blocks: 48, blockSize: 4, events: options, keepsTokens: seed == 2)
    var walk = Walk(harness: harness, random: SplitMix64(seed: seed))
    var mirror = EventMirror(try harness.dump())
    var began = 1
    var followed = 0
    for _ in 0..<50 {
      // A subscriber for a while.
      var subscriber = Subscriber(harness, start: mirror.next, epoch: mirror.epoch, all: true)
      if subscriber.responses.status?.code == .outOfRange {
        mirror = EventMirror(try harness.dump())
        subscriber = Subscriber(harness, start: mirror.next, epoch: mirror.epoch, all: true)
        began += 1
      }
      #expect(subscriber.responses.status == nil)
      for _ in 0..<walk.number(0...150) {
        walk.step()
        if walk.number(0...9) == 0 { #expect(mirror.follow(try subscriber.take())) }
      }
      #expect(mirror.follow(try subscriber.take()))
      #expect(mirror.difference(from: try harness.dump()) == nil)
      subscriber.cancel()
      followed += mirror.takeCount()
      // And nobody for a while: often less than the ring keeps, at times more.
      for _ in 0..<walk.number(0...160) { walk.step() }
      if walk.number(0...19) == 0 { harness.reload() }
    }
    #expect(followed > 1_000 && began > 2 && began < 50, "\(followed), \(began)")
  }
}
