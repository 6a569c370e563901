import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Token ids by RPC")
struct ContentTests {
  let harness = ServiceHarness(blocks: 10, blockSize: 4)

  private func add(_ id: UInt64, _ content: ContentFields) -> AddFields {
    var add = AddFields(sequenceID: id, tokenCount: 0)
    add.content = content
    return add
  }

  @Test("what is wrong with the content of one call is not held against the next")
  func nextCall() throws {
    let nowhere = CallFields(pool: "nowhere")
    let unnamed = MultimodalItemFields(identifier: "", offset: 0, length: 1)
    let content = ContentFields(tokenIDs: [1, 2, 3], multimodal: [unnamed])
    let status = harness.refuse("Sequences/Add", .add(add(1, content)), call: nowhere)
    #expect(status.code == .notFound)
    #expect(try harness.allocate(1) == [1])
    harness.succeed("Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 3)))
  }

  @Test("a lookup says what an admission would hit, and takes nothing")
  func lookup() throws {
    let tokens = Array(UInt32(1)...9)
    let content = ContentFields(tokenIDs: tokens)
    harness.succeed(
      "Sequences/Admit", .admit(AdmitFields(sequenceID: 1, add: add(1, content))))
    let before = harness.pool.stateDigest()
    let (status, bytes) = harness.call(
      "Sequences/Lookup",
      harness.packed { $0.lookupRequest(content: ContentFields(tokenIDs: tokens)) })
    #expect(status == .ok)
    let reply = try harness.decode(LookupReplyMessage.self, bytes)
    // Two full blocks of four; the ninth token is left to compute.
    #expect((reply.cachedTokens, Array(reply.blockIDs)) == (8, [1, 2]))
    #expect((reply.evictableBlocks, reply.blocksNeeded) == (0, 1))
    #expect(harness.pool.stateDigest() == before)
  }

  @Test("a lookup of a sequence that is not there names its field")
  func unknownSequence() {
    let (status, _) = harness.call(
      "Sequences/Lookup", harness.packed { $0.lookupRequest(sequenceID: 5) })
    #expect(status.code == .notFound)
    #expect(status.message.contains("sequence 5"))
  }

  @Test("a commit makes what was scheduled hit-able, up to what it names")
  func commit() throws {
    var admit = AdmitFields(sequenceID: 1, add: add(1, ContentFields(tokenIDs: Array(1...9))))
    admit.delaysCommit = true
    harness.succeed("Sequences/Admit", .admit(admit))
    // CommitReply { revision 2, committed_tokens 5, cached_blocks 1 }
    #expect(
      harness.succeed("Sequences/Commit", .commit(sequence: 1, tokens: 5)) == [8, 2, 16, 5, 24, 1])
    let refused = harness.refuse("Sequences/Commit", .commit(sequence: 1, tokens: 10))
    #expect(refused.code == .invalidArgument)
    #expect(refused.message.contains("must be at most 9"))
  }
}
