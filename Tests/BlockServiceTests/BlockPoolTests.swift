import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("BlockPool")
struct BlockPoolTests {
  let harness = ServiceHarness(blocks: 8, blockSize: 4)

  @Test("allocates in order and says what is left")
  func allocate() throws {
    let bytes = harness.succeed("BlockPool/Allocate", .allocate(count: 3))
    let reply = try harness.decode(AllocateReplyMessage.self, bytes)
    #expect(Array(reply.blockIDs) == [1, 2, 3])
    #expect(reply.availableBlocks == 5)
    #expect(reply.revision == 1)
  }

  @Test("frees what was allocated")
  func free() throws {
    let ids = try harness.allocate(3)
    let bytes = harness.succeed("BlockPool/Free", .freeBlocks(ids, generations: [1]))
    let reply = try harness.decode(FreeReplyMessage.self, bytes)
    #expect(reply.freedBlocks == 3)
    #expect(reply.availableBlocks == 8)
    #expect(reply.revision == 2)
  }

  @Test("a dry run answers as if and changes nothing")
  func dryRun() throws {
    let before = harness.pool.stateDigest()
    let bytes = harness.succeed(
      "BlockPool/Allocate", .allocate(count: 8), call: CallFields(isDryRun: true))
    let reply = try harness.decode(AllocateReplyMessage.self, bytes)
    #expect(Array(reply.blockIDs) == [1, 2, 3, 4, 5, 6, 7, 8])
    #expect(reply.revision == 0)
    #expect(harness.pool.stateDigest() == before)
  }

  @Test("fork takes references, each free gives one back")
  func fork() throws {
    let ids = try harness.allocate(1)
    // ForkBlocksReply { revision 2, ref_counts [2] }
    #expect(harness.succeed("BlockPool/Fork", .forkBlocks(ids)) == [8, 2, 0x12, 1, 2])
    #expect(try harness.stats().sharedBlocks == 1)
    harness.succeed("BlockPool/Free", .freeBlocks(ids))
    harness.succeed("BlockPool/Free", .freeBlocks(ids))
    #expect(try harness.stats().freeBlocks == 8)
  }

  @Test("copy on write of a shared block orders a copy, acknowledged by id")
  func copyOnWrite() throws {
    let harness = ServiceHarness(blocks: 8, blockSize: 4, copyAck: .explicit)
    let ids = try harness.allocate(1)
    harness.succeed("BlockPool/Fork", .forkBlocks(ids))
    let reply = harness.succeed("BlockPool/CopyOnWrite", .copyOnWrite(block: 1, filledTokens: 3))
    // revision 3, block_id 2, copy { copy_id 1, source 1, target 2, tokens 3 }, available 6
    #expect(reply == [8, 3, 16, 2, 0x1A, 8, 8, 1, 16, 1, 24, 2, 32, 3, 32, 6])
    #expect(try harness.stats().pendingCopies == 1)
    // revision 4, acknowledged 1, pending 0 (left out), available 6
    #expect(harness.succeed("BlockPool/AckCopies", .ackCopies([1])) == [8, 4, 16, 1, 32, 6])
  }

  // MARK: Refusals

  @Test("a pool that is full for now says LATER, with the numbers")
  func later() throws {
    _ = try harness.allocate(6)
    let status = harness.refuse("BlockPool/Allocate", .allocate(count: 3))
    #expect(status.code == .resourceExhausted)
    #expect(status.message == "needs 3 blocks, 2 are available now")
    #expect(status.trailer("quire-reason") == "LATER")
    #expect(status.trailer("quire-needed") == "3")
    #expect(status.trailer("quire-available") == "2")
  }

  @Test("details are a google.rpc.Status with the refusal inside")
  func details() throws {
    _ = try harness.allocate(6)
    let status = harness.refuse("BlockPool/Allocate", .allocate(count: 3))
    let url = Array("type.googleapis.com/quire.v1.Refusal".utf8)
    let text = Array("needs 3 blocks, 2 are available now".utf8)
    // Refusal { reason 1, detail, needed 3, available 2 }
    let refusal: [UInt8] = [8, 1, 0x1A, UInt8(text.count)] + text + [32, 3, 40, 2]
    let any: [UInt8] =
      [0x0A, UInt8(url.count)] + url + [0x12, UInt8(refusal.count)] + refusal
    #expect(
      status.details
        == [8, 8, 0x12, UInt8(text.count)] + text + [0x1A, UInt8(any.count)] + any)
  }

  @Test("what cannot ever fit says NEVER")
  func never() {
    let status = harness.refuse("BlockPool/Allocate", .allocate(count: 9))
    #expect(status.code == .failedPrecondition)
    #expect(status.message == "needs 9 blocks, more than the pool's 8")
    #expect(status.trailer("quire-reason") == "NEVER")
  }

  @Test("a count of 0 is invalid and named")
  func zero() {
    let status = harness.refuse("BlockPool/Allocate", .allocate(count: 0))
    #expect(status.code == .invalidArgument)
    #expect(status.message == "allocate.count must be at least 1")
    #expect(status.trailer("quire-reason") == "INVALID")
    #expect(status.trailer("quire-needed") == nil)
  }

  @Test("a missing operation is named")
  func missing() {
    let (status, _) = harness.call("BlockPool/Allocate", [])
    #expect(status.code == .invalidArgument)
    #expect(status.message == "allocate is missing")
  }

  @Test("blocks out of range, not held, freed twice or stale are refused")
  func badBlocks() throws {
    let ids = try harness.allocate(2)
    let cases: [(OperationFields, StatusCode, String, String)] = [
      (
        .freeBlocks([9]), .invalidArgument, "INVALID",
        "free_blocks.block_ids names block 9, outside 1...8"
      ),
      (
        .freeBlocks([0]), .invalidArgument, "INVALID",
        "free_blocks.block_ids names block 0, outside 1...8"
      ),
      (
        .freeBlocks([]), .invalidArgument, "INVALID",
        "free_blocks.block_ids must name at least one block"
      ),
      (
        .freeBlocks([ids[0], 5]), .failedPrecondition, "NOT_HELD",
        "block 5 is not held by this session"
      ),
      (
        .freeBlocks([ids[0], ids[0]]), .failedPrecondition, "NOT_HELD",
        "block 1 is not held by this session"
      ),
      (
        .freeBlocks(ids, generations: [77]), .failedPrecondition, "STALE_GENERATION",
        "block 1 was handed out again since that generation"
      ),
      (
        .freeBlocks(ids, generations: [1, 1, 1]), .invalidArgument, "INVALID",
        "free_blocks.generations must be none, one for all, or one for each of 2 blocks"
      ),
    ]
    for (operation, code, reason, message) in cases {
      let status = harness.refuse("BlockPool/Free", operation)
      #expect(status.code == code)
      #expect(status.trailer("quire-reason") == reason)
      #expect(status.message == message)
    }
    #expect(harness.refuse("BlockPool/Fork", .forkBlocks([7])).code == .failedPrecondition)
    let copy = harness.refuse("BlockPool/CopyOnWrite", .copyOnWrite(block: 1, filledTokens: 5))
    #expect(copy.message == "copy_on_write.filled_tokens must be at most the block size, 4")
  }

  @Test("an unknown copy is not found")
  func unknownCopy() {
    let status = harness.refuse("BlockPool/AckCopies", .ackCopies([3]))
    #expect(status.code == .notFound)
    #expect(status.trailer("quire-reason") == "UNKNOWN_COPY")
  }

  @Test("a pool that moved on aborts what was meant for an earlier revision")
  func revisionMoved() throws {
    _ = try harness.allocate(1)
    let status = harness.refuse(
      "BlockPool/Allocate", .allocate(count: 1), call: CallFields(ifRevision: 7))
    #expect(status.code == .aborted)
    #expect(status.message == "call.if_revision is not the pool's revision, 1")
    #expect(status.trailer("quire-reason") == "REVISION_MOVED")
    harness.succeed("BlockPool/Allocate", .allocate(count: 1), call: CallFields(ifRevision: 1))
  }

  @Test("an unknown pool is not found")
  func unknownPool() {
    let status = harness.refuse(
      "BlockPool/Allocate", .allocate(count: 1), call: CallFields(pool: "other"))
    #expect(status.code == .notFound)
    #expect(status.message == "there is no pool \"other\"")
  }

  @Test("what is not served yet is refused by name and changes nothing")
  func unserved() {
    let status = harness.refuse(
      "BlockPool/Allocate", .allocate(count: 1), call: CallFields(session: 4))
    #expect(status.code == .unimplemented)
    #expect(status.message == "call.session is set and not served yet")
    let operation = harness.refuse(
      "BlockPool/Allocate", .allocate(count: 1), call: CallFields(opID: 4))
    #expect(operation.message == "call.op_id is set and not served yet")
  }

  @Test("bytes that are no message are an internal error")
  func malformed() {
    let (status, _) = harness.call("BlockPool/Allocate", [0xFF])
    #expect(status.code == .internal)
    #expect(status.message == "the request is no quire.v1.AllocateRequest")
  }

  @Test("every RPC of the contract is registered, those not served yet say so")
  func registered() {
    #expect(harness.table.methods.count == 58)
    let (status, _) = harness.call("Sessions/Open", [])
    #expect(status.code == .unimplemented)
    #expect(status.message == "quire.v1.Sessions/Open is not served yet")
  }
}
