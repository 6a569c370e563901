import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("observers of pools")
struct PoolObserverTests {
  /// What it was told, a word each.
  private final class Recorder: PoolObserver, RegistryFollower {
    let needs: ChangeLog.Detail
    var heard: [String] = []

    init(_ needs: ChangeLog.Detail = .everything) { self.needs = needs }

    func poolChanged(_ pool: KVPool, _ log: ChangeLog, at milliseconds: UInt64) {
      let kinds = log.entries.elements.map { "\($0.kind) \($0.count)" }.joined(separator: ", ")
      heard.append("\(pool.revision)@\(milliseconds): \(kinds)")
    }
    func poolReplaced(_ pool: KVPool, at milliseconds: UInt64) {
      heard.append("replaced by one of \(pool.configuration.blocks) at revision \(pool.revision)")
    }
    func poolCame(_ hosted: HostedPool) { heard.append("came: \(hosted.name)") }
    func poolWent(_ hosted: HostedPool) { heard.append("went: \(hosted.name)") }

    func take() -> [String] {
      defer { heard = [] }
      return heard
    }
  }

  private let harness = ServiceHarness(blocks: 8, blockSize: 4)
  private let recorder = Recorder()

  @Test("hear of each command that changed something, by every way in, and of no other")
  func commands() throws {
    let hosted = harness.registry.pools[0]
    _ = try harness.allocate(1)
    hosted.observe(recorder, at: 0)
    #expect(recorder.take() == ["replaced by one of 8 at revision 1"])

    let blocks = try harness.allocate(3)
    #expect(recorder.take() == ["2@0: handedOut 3"])
    harness.succeed("BlockPool/Fork", .forkBlocks([blocks[0]]))
    #expect(recorder.take() == ["3@0: shared 1"])
    _ = try harness.step(
      StepFields(operations: [.init(.allocate(count: 1)), .init(.freeBlocks([blocks[1]]))]))
    #expect(recorder.take() == ["4@0: handedOut 1, released 1"])

    _ = harness.refuse("BlockPool/Allocate", .allocate(count: 9))
    harness.succeed(
      "BlockPool/Allocate", .allocate(count: 1), call: CallFields(isDryRun: true))
    _ = try harness.stats()
    #expect(recorder.take() == [])

    hosted.stopObserving(recorder)
    #expect(hosted.pool.changeLog == nil)
    _ = try harness.allocate(1)
    #expect(recorder.take() == [])
  }

  @Test("hear of contents alone where nobody wants more")
  func details() throws {
    let hosted = harness.registry.pools[0]
    let modest = Recorder(.contents)
    hosted.observe(modest, at: 0)
    _ = modest.take()
    // Two blocks of four tokens, and one in part: two are stored.
    var add = AddFields(sequenceID: 1, tokenCount: 0)
    add.content.tokenIDs = Array(1...9)
    harness.succeed("Sequences/Admit", .admit(AdmitFields(sequenceID: 0, add: add)))
    #expect(modest.take() == ["1@0: stored 2"])

    hosted.observe(recorder, at: 0)
    _ = try harness.allocate(1)
    #expect(recorder.take().last == "2@0: handedOut 1")
    #expect(modest.take() == ["2@0: handedOut 1"])

    hosted.stopObserving(recorder)
    _ = try harness.allocate(1)
    #expect(modest.take() == [])
    hosted.stopObserving(modest)
    #expect(hosted.pool.changeLog == nil)
  }

  @Test("hear of resets, and of a pool that is made anew with another size")
  func resets() {
    let hosted = harness.registry.pools[0]
    hosted.observe(recorder, at: 0)
    _ = recorder.take()
    #expect(
      harness.call(
        "Pools/ResetPool", harness.packed { $0.poolRequest(call: CallFields(), flag: false) }
      )
      .status == .ok)
    #expect(recorder.take() == ["1@0: cleared 0"])
    #expect(
      harness.call(
        "Pools/CreatePool",
        harness.packed {
          $0.createPoolRequest(
            name: "default", config: PoolConfigFields(blocks: 5, blockSize: 4), ifExists: .reset)
        }
      ).status == .ok)
    #expect(recorder.take() == ["2@0: cleared 0"])
    #expect(hosted.pool.configuration.blocks == 5)
  }

  @Test("of the registry hear of the pools that are there, that come and that go")
  func registry() {
    harness.registry.follow(recorder)
    #expect(recorder.take() == ["came: default"])
    _ = harness.call(
      "Pools/CreatePool",
      harness.packed {
        $0.createPoolRequest(
          name: "b", config: PoolConfigFields(blocks: 5, blockSize: 4), ifExists: .error)
      })
    #expect(recorder.take() == ["came: b"])
    _ = harness.call(
      "Pools/DeletePool",
      harness.packed { $0.poolRequest(call: CallFields(pool: "b"), flag: false) })
    #expect(recorder.take() == ["went: b"])
  }
}
