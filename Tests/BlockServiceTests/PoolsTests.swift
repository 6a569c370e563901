import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Pools")
struct PoolsTests {
  let harness = ServiceHarness(blocks: 8, blockSize: 4, limits: .init(pools: 3, blocksInAll: 100))

  private func create(
    _ name: String, _ config: PoolConfigFields,
    _ ifExists: IfExists = .error
  ) -> (status: Status, reply: [UInt8]) {
    harness.call(
      "Pools/CreatePool",
      harness.packed { $0.createPoolRequest(name: name, config: config, ifExists: ifExists) })
  }

  private func call(
    _ method: String, _ pool: String = "", flag: Bool = false
  ) -> (status: Status, reply: [UInt8]) {
    harness.call(
      "Pools/\(method)",
      harness.packed { $0.poolRequest(call: CallFields(pool: pool), flag: flag) })
  }

  @Test("a pool is created, used, listed in the order of names, and deleted")
  func life() throws {
    let config = PoolConfigFields(
      blocks: 10, blockSize: 2, disablesPrefixCaching: true, copyAck: 2)
    let (status, reply) = create("a.b-C_9", config)
    #expect(status == .ok)
    let info = try harness.decode(PoolInfoMessage.self, reply).fields
    #expect(info.name == "a.b-C_9")
    #expect(
      info.config
        == PoolConfigFields(
          blocks: 10, blockSize: 2, strategy: 1, eviction: 1, disablesPrefixCaching: true,
          hash: 1, copyAck: 2, pinBudgetBlocks: 2))
    #expect(info.availableBlocks == 10)
    harness.succeed("BlockPool/Allocate", .allocate(count: 10), call: CallFields(pool: "a.b-C_9"))

    let (_, list) = harness.call("Pools/ListPools", harness.packed { $0.listPoolsRequest() })
    let pools = try harness.decode(ListPoolsReplyMessage.self, list)
    #expect(pools.pools.map(\.name) == ["a.b-C_9", "default"])
    #expect(pools.nextPageToken == "")

    let refused = call("DeletePool", "a.b-C_9")
    #expect(refused.status.code == .failedPrecondition)
    #expect(refused.status.trailer("quire-reason") == "WRONG_STATE")
    #expect(
      refused.status.message
        == "pool \"a.b-C_9\" has 10 blocks that are held; set force to do it anyway")
    // DeletePoolReply { revision 1, held_blocks 10 }
    #expect(call("DeletePool", "a.b-C_9", flag: true).reply == [8, 1, 16, 10])
    #expect(call("GetPool", "a.b-C_9").status.code == .notFound)
  }

  @Test("pools are listed page by page")
  func pages() throws {
    #expect(create("x", PoolConfigFields(blocks: 1, blockSize: 1)).status == .ok)
    let (_, first) = harness.call(
      "Pools/ListPools", harness.packed { $0.listPoolsRequest(pageSize: 1) })
    let page = try harness.decode(ListPoolsReplyMessage.self, first)
    #expect(page.pools.map(\.name) == ["default"])
    #expect(page.nextPageToken == "default")
    let (_, second) = harness.call(
      "Pools/ListPools",
      harness.packed { $0.listPoolsRequest(pageSize: 1, pageToken: "default") })
    let last = try harness.decode(ListPoolsReplyMessage.self, second)
    #expect(last.pools.map(\.name) == ["x"])
    #expect(last.nextPageToken == "")
  }

  @Test("a pool that exists is an error, returned or reset, as asked")
  func exists() throws {
    _ = try harness.allocate(2)
    let same = PoolConfigFields(blocks: 8, blockSize: 4)
    #expect(create("default", same).status.code == .alreadyExists)
    #expect(create("", same).status.message == "there is a pool \"default\" already")
    let returned = create("default", same, .return)
    #expect(try harness.decode(PoolInfoMessage.self, returned.reply).fields.availableBlocks == 6)
    let other = PoolConfigFields(blocks: 9, blockSize: 4)
    #expect(create("default", other, .return).status.code == .failedPrecondition)
    #expect(harness.pool.configuration.blocks == 8)
    let reset = try harness.decode(
      PoolInfoMessage.self, create("default", other, .reset).reply
    ).fields
    #expect(reset.config.blocks == 9)
    #expect(reset.availableBlocks == 9)
    #expect(reset.revision == 2, "the revision goes on")
  }

  @Test("a reset pool is as created, and its revision goes on")
  func reset() throws {
    _ = try harness.allocate(2)
    #expect(call("ResetPool").status.code == .failedPrecondition)
    let info = try harness.decode(PoolInfoMessage.self, call("ResetPool", flag: true).reply).fields
    #expect(info.availableBlocks == 8)
    #expect(info.revision == 2)
    #expect(try harness.allocate(1) == [1])
  }

  @Test("the same commands give the same digests, another gives others")
  func digests() throws {
    let twin = ServiceHarness(blocks: 8, blockSize: 4)
    _ = try harness.allocate(2)
    _ = try twin.allocate(2)
    let request = harness.packed { $0.poolRequest(call: CallFields()) }
    let one = try harness.decode(
      DigestMessage.self, harness.call("Pools/GetDigest", request).reply)
    let two = try twin.decode(DigestMessage.self, twin.call("Pools/GetDigest", request).reply)
    #expect(one.stateDigest == two.stateDigest)
    #expect(one.historyDigest == two.historyDigest)
    _ = try twin.allocate(1)
    let three = try twin.decode(DigestMessage.self, twin.call("Pools/GetDigest", request).reply)
    #expect(one.stateDigest != three.stateDigest)
    let short = harness.packed { $0.poolRequest(call: CallFields(), flag: true) }
    let history = try harness.decode(
      DigestMessage.self, harness.call("Pools/GetDigest", short).reply)
    #expect(history.stateDigest == 0)
    #expect(history.historyDigest == one.historyDigest)
  }

  @Test("the blocks of all pools are limited unless the server says otherwise: 512 MiB of records")
  func defaultLimit() {
    let harness = ServiceHarness(blocks: 8)
    let (status, _) = harness.call(
      "Pools/CreatePool",
      harness.packed {
        $0.createPoolRequest(
          name: "p", config: PoolConfigFields(blocks: 1 << 24, blockSize: 1), ifExists: .error)
      })
    #expect(status.code == .failedPrecondition)
    #expect(status.trailer("quire-reason") == "QUOTA")
    #expect(
      status.message == "config.blocks would make 16777224 blocks in all, over 16777216")
    #expect(harness.registry.pools.count == 1)
  }

  @Test(
    "what cannot be made names the field and the limit",
    arguments: [
      ("p", PoolConfigFields(blocks: 0, blockSize: 4), "config.blocks must be 1...268435456"),
      ("p", PoolConfigFields(blocks: 4, blockSize: 0), "config.block_size must be 1...65536"),
      (
        "a b", PoolConfigFields(blocks: 1, blockSize: 1),
        "name must be 1 to 128 bytes of A-Z a-z 0-9 - _ ."
      ),
      (
        "p", PoolConfigFields(blocks: 93, blockSize: 1),
        "config.blocks would make 101 blocks in all, over 100"
      ),
      (
        "p", PoolConfigFields(blocks: 1, blockSize: 1, strategy: 4),
        "config.disable_prefix_caching must be true with config.strategy STRATEGY_BUDDY"
      ),
      (
        "p", PoolConfigFields(blocks: 1, blockSize: 1, eviction: 2, disablesPrefixCaching: true),
        "config.eviction contradicts disable_prefix_caching: nothing is cached"
      ),
    ])
  func limits(name: String, config: PoolConfigFields, message: String) {
    let (status, _) = create(name, config)
    #expect(status.code != .ok)
    #expect(status.message == message)
    #expect(harness.registry.pools.count == 1)
  }

  @Test("there are at most so many pools")
  func tooMany() {
    let config = PoolConfigFields(blocks: 1, blockSize: 1)
    #expect(create("a", config).status == .ok)
    #expect(create("b", config).status == .ok)
    let (status, _) = create("c", config)
    #expect(status.code == .failedPrecondition)
    #expect(status.message == "name would be one pool more than 3")
    #expect(status.trailer("quire-reason") == "QUOTA")
  }
}
