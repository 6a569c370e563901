import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Analyzer: looks at a pool")
struct SnapshotTests {
  private func snapshot(
    _ harness: ServiceHarness, pool: String = "", probes: [UInt32] = []
  ) throws -> SnapshotMessage {
    let (status, reply) = harness.call(
      "Analyzer/GetSnapshot",
      harness.packed {
        $0.getSnapshotRequest(call: CallFields(pool: pool), probeBlocks: probes)
      })
    #expect(status == .ok, "\(status.message)")
    return try harness.decode(SnapshotMessage.self, reply)
  }

  private func admit(
    _ harness: ServiceHarness, _ ids: ClosedRange<UInt64>, tokens: UInt32, pool: String = "",
    label: String = ""
  ) {
    for id in ids {
      harness.succeed(
        "Sequences/Admit",
        .admit(
          AdmitFields(
            sequenceID: id, add: AddFields(sequenceID: id, tokenCount: tokens, label: label))),
        call: CallFields(pool: pool))
    }
  }

  @Test(
    "17-token prompts in blocks of 16: usage by blocks is 32/17 of usage by slots",
    arguments: [false, true])
  func seventeen(samples: Bool) throws {
    let harness = ServiceHarness(blocks: 64, blockSize: 16)
    if samples { harness.service.startSampling(intervalMilliseconds: 1_000) }
    admit(harness, 1...10, tokens: 17)
    let look = try snapshot(harness)
    // 10 x 2 of 64 blocks; 10 x 17 of 1,024 slots; 10 x 15 slots unused in 10 blocks of one token.
    #expect(look.fields.usageByBlocks == 20.0 / 64)
    #expect(look.fields.usageBySlots == 170.0 / 1_024)
    #expect(abs(look.fields.usageByBlocks / look.fields.usageBySlots - 32.0 / 17) < 1e-12)
    #expect((look.fields.unusedSlots, look.fields.partialBlocks) == (150, 10))
    #expect(look.stats?.internalFragmentation == 150.0 / 320)
  }

  @Test("the checkerboard: 2,048 blocks are free, the longest run is 1, the index is 0.9995")
  func checkerboard() throws {
    let harness = ServiceHarness(blocks: 4_096, blockSize: 16)
    harness.service.startSampling(intervalMilliseconds: 1_000)
    let blocks = try harness.allocate(4_096)
    harness.succeed("BlockPool/Free", .freeBlocks(blocks.filter { $0 % 2 == 0 }))
    let look = try snapshot(harness, probes: [1, 2])
    #expect(look.stats?.freeBlocks == 2_048)
    #expect(
      look.stats?.freeRuns
        == FreeRunsFields(count: 2_048, largest: 1, tenLargest: Array(repeating: 1, count: 10)))
    #expect(look.stats?.externalFragmentation == 1 - 1.0 / 2_048)
    #expect(look.fields.freeRunHistogram == [2_048])
    #expect(look.fields.meanFreeRun == 1)
    #expect(look.fields.probeFits == [true, false])
    // Blocks need no run here: nothing was ever refused for it.
    #expect(look.stats?.refusalsByFragmentation == 0)
    // Blocks 1 ... 64 are a stretch like all others: 32 runs, the last of which ends it.
    #expect(
      look.fields.hotspots.first
        == HotspotFields(firstBlock: 1, blocks: 64, availableBlocks: 32, runs: 32))
    #expect(look.fields.hotspots.count == 8)
  }

  @Test(
    "the lab: 8 reservations of 512 that use 32 waste 3,840 slots; in blocks of 16, use 33 wastes 15"
  )
  func lab() throws {
    let harness = ServiceHarness(blocks: 8, blockSize: 16)
    harness.registry.add(
      name: "reserved",
      PoolConfiguration(
        blocks: 256, blockSize: 16, maxModelTokens: 512, strategy: .contiguousMax))
    harness.registry.add(
      name: "paged", PoolConfiguration(blocks: 256, blockSize: 16, maxModelTokens: 512))
    harness.service.startSampling(intervalMilliseconds: 1_000)
    admit(harness, 1...8, tokens: 32, pool: "reserved")
    admit(harness, 1...64, tokens: 33, pool: "paged")
    let reserved = try snapshot(harness, pool: "reserved")
    #expect(reserved.stats?.sequenceSlotsHeld == 4_096)
    #expect(reserved.fields.unusedSlots == 3_840)
    // 512 / 16 - 2 blocks of each are ahead of its tokens.
    #expect((reserved.fields.partialBlocks, reserved.fields.emptyBlocks) == (0, 240))
    let paged = try snapshot(harness, pool: "paged")
    #expect(paged.fields.unusedSlots == 64 * 15)
    #expect((paged.fields.partialBlocks, paged.fields.emptyBlocks) == (64, 0))
    #expect(paged.stats?.sequenceSlotsHeld == 64 * 48)
    #expect(paged.fields.reserveMaxSlots == 64 * 512)
  }

  @Test("says who holds what, by label, and which sequences cost most")
  func owners() throws {
    let harness = ServiceHarness(blocks: 32, blockSize: 4)
    harness.service.startSampling(intervalMilliseconds: 1_000)
    harness.clock.now = 10_000
    admit(harness, 1...2, tokens: 8, label: "chat")  // 1 2, 3 4
    admit(harness, 3...3, tokens: 9, label: "code")  // 5 6 7
    _ = try harness.allocate(2)  // 8, 9
    harness.succeed("Sequences/Free", .freeSequences([1]))
    harness.service.analyses?.sample()
    harness.clock.now = 12_500
    let look = try snapshot(harness)
    var chat = OwnerFootprintFields()
    chat.name = Array("chat".utf8)
    (chat.blocks, chat.sequences, chat.runningSequences) = (2, 1, 1)
    chat.idleMilliseconds = 2_500
    var code = OwnerFootprintFields()
    code.name = Array("code".utf8)
    (code.blocks, code.sequences, code.runningSequences, code.unusedSlots) = (3, 1, 1, 3)
    code.idleMilliseconds = 2_500
    var raw = OwnerFootprintFields()
    (raw.blocks, raw.rawBlocks, raw.idleMilliseconds) = (2, 2, 2_500)
    raw.heldIdleMilliseconds = 2_500
    #expect(look.owners == [code, raw, chat])
    #expect(look.sequences.map(\.sequenceID) == [3, 2])
    let first = try #require(look.sequences.first)
    #expect((first.exclusiveBlocks, first.runs, first.unusedSlots) == (3, 1, 3))
    // Of what is available 1 and 2 lie before it, but block 3 is between them.
    #expect(first.separatedRuns == 0)
  }

  @Test("a sequence between two free runs separates them")
  func separated() throws {
    let harness = ServiceHarness(blocks: 12, blockSize: 4)
    admit(harness, 1...1, tokens: 8)
    admit(harness, 2...2, tokens: 8)
    harness.succeed("Sequences/Free", .freeSequences([1]))
    // Without sampling the look reads the pool anew.
    #expect(try snapshot(harness).sequences.map(\.separatedRuns) == [1])
  }

  @Test("what is asked for has limits, and the error names them")
  func limits() {
    let harness = ServiceHarness()
    func refused(_ method: String, _ pack: (inout MessagePacker) -> Void) -> String {
      let (status, _) = harness.call(method, harness.packed(pack))
      #expect(status.code == .invalidArgument)
      return status.message
    }
    let call = CallFields()
    #expect(
      refused("Analyzer/GetSnapshot") { $0.getSnapshotRequest(call: call, topSequences: 101) }
        == "top_sequences must be at most 100")
    #expect(
      refused("Analyzer/GetSnapshot") {
        $0.getSnapshotRequest(call: call, probeBlocks: Array(repeating: 1, count: 65))
      } == "probe_blocks must be at most 64")
    #expect(
      refused("Analyzer/GetHistory") { $0.getHistoryRequest(call: call, maxSamples: 4_001) }
        == "max_samples must be at most 4000")
    #expect(
      refused("Analyzer/GetBlockMap") { $0.getBlockMapRequest(call: call, firstBlock: 9) }
        == "first_block must be at most 8, the pool's last block")
    #expect(
      refused("Analyzer/GetBlockMap") {
        $0.getBlockMapRequest(call: call, firstBlock: 3, blocks: 7)
      } == "blocks must be at most 6, from block 3 to the pool's last")
    harness.registry.add(name: "large", PoolConfiguration(blocks: 65_537, blockSize: 16))
    #expect(
      refused("Analyzer/GetBlockMap") {
        $0.getBlockMapRequest(call: CallFields(pool: "large"), blocksPerCell: 1)
      } == "blocks_per_cell must be 0 or at least 2: a map has at most 65536 cells")
  }

  @Test("who holds blocks and runs nothing is told apart, with since when and how much it grew")
  func leaks() throws {
    let harness = ServiceHarness(blocks: 32, blockSize: 4)
    harness.service.startSampling(intervalMilliseconds: 1_000)
    let analyses = try #require(harness.service.analyses)
    harness.clock.now = 100_000
    _ = try harness.allocate(3)
    analyses.sample()
    harness.clock.now = 105_000
    _ = try harness.allocate(4)
    analyses.sample()
    harness.clock.now = 130_000
    var owner = try #require(snapshot(harness).owners.first)
    #expect((owner.blocks, owner.heldIdleMilliseconds, owner.idleGrowthBlocks) == (7, 30_000, 4))
    // With the same label, so that it is the same owner.
    admit(harness, 1...1, tokens: 8)
    analyses.sample()
    owner = try #require(snapshot(harness).owners.first)
    #expect((owner.blocks, owner.heldIdleMilliseconds, owner.idleGrowthBlocks) == (9, 0, 0))
    harness.succeed("Sequences/Free", .freeSequences([1]))
    harness.clock.now = 150_000
    analyses.sample()
    harness.clock.now = 151_000
    owner = try #require(snapshot(harness).owners.first)
    #expect((owner.blocks, owner.heldIdleMilliseconds, owner.idleGrowthBlocks) == (7, 1_000, 0))
  }

  // MARK: The map

  private func map(
    _ harness: ServiceHarness, perCell: UInt32 = 0, sequence: UInt64? = nil
  ) throws -> [CellRunFields] {
    let (status, reply) = harness.call(
      "Analyzer/GetBlockMap",
      harness.packed {
        $0.getBlockMapRequest(
          call: CallFields(), blocksPerCell: perCell, sequenceID: sequence)
      })
    #expect(status == .ok, "\(status.message)")
    return try harness.decode(BlockMapMessage.self, reply).runs
  }

  @Test("a map says of each block its state, its references, its tail and whose it is")
  func map() throws {
    let harness = ServiceHarness(blocks: 10, blockSize: 4)
    _ = try harness.allocate(3)
    admit(harness, 1...1, tokens: 6)  // 4, 5 with two tokens
    harness.succeed("BlockPool/Fork", .forkBlocks([1]))
    harness.succeed("BlockPool/Free", .freeBlocks([2]))
    func run(
      _ cells: UInt32, _ state: UInt32, _ references: UInt32, _ used: UInt32,
      partial: Bool = false, highlighted: Bool = false
    ) -> CellRunFields {
      CellRunFields(
        cells: cells, state: state, refCount: references, isPartial: partial,
        isHighlighted: highlighted, usedPercent: used)
    }
    // free 1, active 3, shared 4.
    #expect(
      try map(harness) == [
        run(1, 4, 2, 100), run(1, 1, 0, 0), run(2, 3, 1, 100), run(1, 3, 1, 100, partial: true),
        run(5, 1, 0, 0),
      ])
    #expect(
      try map(harness, sequence: 1) == [
        run(1, 4, 2, 100), run(1, 1, 0, 0), run(1, 3, 1, 100),
        run(1, 3, 1, 100, highlighted: true),
        run(1, 3, 1, 100, partial: true, highlighted: true), run(5, 1, 0, 0),
      ])
    // 1 shared, 1 free and 3 active; then free ones.
    #expect(try map(harness, perCell: 5) == [run(1, 3, 2, 80, partial: true), run(1, 1, 0, 0)])
    let (status, _) = harness.call(
      "Analyzer/GetBlockMap",
      harness.packed { $0.getBlockMapRequest(call: CallFields(), sequenceID: 7) })
    #expect(status.code == .notFound)
  }

  // MARK: Stats

  @Test("stats of a pool that is followed are those of a scan, but for what the following takes")
  func same() throws {
    let scanned = ServiceHarness(blocks: 64, blockSize: 4)
    let followed = ServiceHarness(blocks: 64, blockSize: 4)
    followed.service.startSampling(intervalMilliseconds: 1_000)
    for harness in [scanned, followed] {
      _ = try harness.allocate(7)
      admit(harness, 1...5, tokens: 11)
      harness.succeed("Sequences/Fork", .fork(parent: 2, children: [9]))
      harness.succeed("BlockPool/Fork", .forkBlocks([3]))
      harness.succeed("BlockPool/Free", .freeBlocks([2, 3, 6]))
      harness.succeed("Sequences/Free", .freeSequences([4]))
    }
    var stats = try followed.stats(runs: true, slots: true)
    // 8 bytes for each of 64 blocks and the null block.
    stats.managerBytesPerBlock -= 8.125
    #expect(try scanned.stats(runs: true, slots: true) == stats)
  }

  @Test("peaks start again from now, and no digest knows of it")
  func peaks() throws {
    let harness = ServiceHarness(blocks: 16, blockSize: 4)
    let blocks = try harness.allocate(9)
    harness.succeed("BlockPool/Free", .freeBlocks(Array(blocks.prefix(5))))
    let digest = harness.pool.stateDigest()
    let history = harness.pool.historyDigest
    func reset(isDryRun: Bool) throws -> UInt32 {
      let (status, reply) = harness.call(
        "Analyzer/ResetPeaks",
        harness.packed { $0.resetPeaksRequest(call: CallFields(isDryRun: isDryRun)) })
      #expect(status == .ok)
      return try harness.decode(StatsMessage.self, reply).fields.highWatermarkBlocks
    }
    #expect(try reset(isDryRun: true) == 9)
    #expect(try reset(isDryRun: false) == 4)
    #expect(harness.pool.stateDigest() == digest)
    #expect(harness.pool.historyDigest == history)
    #expect(harness.pool.checkInvariants() == nil)
    _ = try harness.allocate(2)
    #expect(try harness.stats().highWatermarkBlocks == 6)
  }

  // MARK: History

  private func history(_ harness: ServiceHarness, most: UInt32 = 0) throws -> HistoryMessage {
    let (status, reply) = harness.call(
      "Analyzer/GetHistory",
      harness.packed { $0.getHistoryRequest(call: CallFields(), maxSamples: most) })
    #expect(status == .ok)
    return try harness.decode(HistoryMessage.self, reply)
  }

  @Test("a history says who held what, each ten seconds")
  func ownersOverTime() throws {
    let harness = ServiceHarness(blocks: 16, blockSize: 4)
    #expect(try history(harness).ownerTimes.isEmpty)
    harness.service.startSampling(intervalMilliseconds: 1_000)
    let analyses = try #require(harness.service.analyses)
    harness.clock.now = 20_000
    _ = try harness.allocate(3)
    analyses.sample()
    harness.clock.now = 25_000
    harness.succeed(
      "Sequences/Admit",
      .admit(
        AdmitFields(
          sequenceID: 1, add: AddFields(sequenceID: 1, tokenCount: 17, label: "chat"))))
    analyses.sample()
    harness.clock.now = 30_000
    analyses.sample()
    let whole = try history(harness)
    #expect(whole.ownerTimes == [20_000, 30_000])
    #expect(whole.owners.map { String(decoding: $0.name, as: UTF8.self) } == ["chat", ""])
    #expect(whole.owners.map(\.blocks) == [[0, 5], [3, 3]])
    #expect(try history(harness, most: 1).owners.map(\.blocks) == [[5], [3]])
  }

  @Test("a history has the last values of each second, and the peaks of all its looks")
  func histories() throws {
    let harness = ServiceHarness(blocks: 16, blockSize: 4)
    #expect(try history(harness).samples.isEmpty)
    #expect(try history(harness).intervalMilliseconds == 0)
    harness.service.startSampling(intervalMilliseconds: 500)
    let analyses = try #require(harness.service.analyses)
    harness.clock.now = 20_000
    let blocks = try harness.allocate(6)
    analyses.sample()
    harness.clock.now = 20_500
    harness.succeed("BlockPool/Free", .freeBlocks(Array(blocks.prefix(4))))
    analyses.sample()
    harness.clock.now = 21_000
    _ = try harness.allocate(1)
    analyses.sample()
    let whole = try history(harness)
    #expect(whole.intervalMilliseconds == 500)
    #expect(whole.samples.map(\.timeMilliseconds) == [20_500, 21_000])
    #expect(whole.samples.map(\.looks) == [2, 1])
    #expect(whole.samples.map(\.stats.activeBlocks) == [2, 3])
    #expect(whole.samples.map(\.stats.allocatedBlocks) == [6, 7])
    #expect(whole.samples.map(\.stats.freedBlocks) == [4, 4])
    #expect(whole.samples.map(\.peaks.usedBlocks) == [6, 3])
    let one = try history(harness, most: 1)
    #expect(one.samples.map(\.timeMilliseconds) == [21_000])
    #expect(one.samples.map(\.looks) == [3])
    #expect(one.samples.map(\.peaks.usedBlocks) == [6])
  }

  @Test("pools that come are followed, and those that go are forgotten")
  func comeAndGo() throws {
    let harness = ServiceHarness(blocks: 16, blockSize: 4)
    harness.service.startSampling(intervalMilliseconds: 500)
    let analyses = try #require(harness.service.analyses)
    _ = harness.call(
      "Pools/CreatePool",
      harness.packed {
        $0.createPoolRequest(
          name: "b", config: PoolConfigFields(blocks: 5, blockSize: 4), ifExists: .error)
      })
    #expect(analyses.all.map(\.hosted.name) == ["default", "b"])
    _ = harness.call(
      "Pools/CreatePool",
      harness.packed {
        $0.createPoolRequest(
          name: "b", config: PoolConfigFields(blocks: 9, blockSize: 4), ifExists: .reset)
      })
    #expect(try snapshot(harness, pool: "b").stats?.freeRuns?.largest == 9)
    _ = harness.call(
      "Pools/DeletePool",
      harness.packed { $0.poolRequest(call: CallFields(pool: "b"), flag: false) })
    #expect(analyses.all.map(\.hosted.name) == ["default"])
  }
}
