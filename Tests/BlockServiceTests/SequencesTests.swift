import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

@Suite("Sequences")
struct SequencesTests {
  let harness = ServiceHarness(blocks: 10, blockSize: 4)

  private func admit(_ id: UInt64, _ tokens: UInt32) {
    harness.succeed(
      "Sequences/Admit",
      .admit(AdmitFields(sequenceID: id, add: AddFields(sequenceID: id, tokenCount: tokens))))
  }

  private func describe(_ id: UInt64) throws -> SequenceFields {
    let (status, reply) = harness.call(
      "Sequences/Get",
      harness.packed { $0.getSequenceRequest(call: CallFields(), sequenceID: id) })
    #expect(status == .ok)
    return try harness.decode(SequenceMessage.self, reply).fields
  }

  @Test("lives through add, admit, append, extend, rewind, preempt and free")
  func life() throws {
    // AddReply { revision 1, tokens 9, blocks_needed 3 }
    let add = AddFields(sequenceID: 7, tokenCount: 9, priority: -2, label: "chat")
    #expect(harness.succeed("Sequences/Add", .add(add)) == [8, 1, 16, 9, 24, 3])
    // AdmitReply { revision 2, scheduled 9, new_block_ids [1,2,3], available 7 }
    #expect(
      harness.succeed("Sequences/Admit", .admit(AdmitFields(sequenceID: 7)))
        == [8, 2, 24, 9, 0x2A, 3, 1, 2, 3, 64, 7])
    // AppendReply { revision 3, tokens 12 }
    #expect(
      harness.succeed("Sequences/Append", .append(sequence: 7, tokens: 3)) == [8, 3, 16, 12])
    // ExtendReply { revision 4, scheduled 4 (12 + 1 - 9), new_block_ids [4], available 6 }
    #expect(
      harness.succeed("Sequences/Extend", .extend(ExtendFields(sequenceID: 7, appendTokens: 1)))
        == [8, 4, 16, 4, 0x1A, 1, 4, 48, 6])
    let running = try describe(7)
    #expect(String(decoding: running.label, as: UTF8.self) == "chat")
    #expect(running.state == 2)
    #expect((running.tokens, running.computedTokens) == (13, 13))
    #expect(Array(running.blockIDs) == [1, 2, 3, 4])
    #expect((running.exclusiveBlocks, running.sharedBlocks, running.runs) == (4, 0, 1))
    #expect(running.priority == -2)
    #expect(running.admittedRevision == 2)
    // RewindReply { revision 5, freed 1, available 7, tokens 11, computed 11 }
    #expect(
      harness.succeed("Sequences/Rewind", .rewind(sequence: 7, dropTokens: 2, releasesBlocks: true))
        == [8, 5, 16, 1, 24, 7, 32, 11, 40, 11])
    // PreemptReply { revision 6, freed 3, available 10, preempted 1 }
    #expect(
      harness.succeed("Sequences/Preempt", .preempt([7])) == [8, 6, 16, 3, 24, 10, 32, 1])
    #expect(try describe(7).preemptions == 1)
    // FreeSequencesReply { revision 7, freed_sequences 1, available 10 }
    #expect(
      harness.succeed("Sequences/Free", .freeSequences([7])) == [8, 7, 24, 1, 32, 10])
  }

  @Test("children share the parent's blocks until someone writes")
  func fork() throws {
    admit(1, 6)
    // ForkReply { revision 2, children 2, shared_blocks 2, available 8 }
    #expect(
      harness.succeed("Sequences/Fork", .fork(parent: 1, children: [2, 3]))
        == [8, 2, 16, 2, 24, 2, 32, 8])
    #expect(try describe(2).sharedBlocks == 2)
    let reply = harness.succeed(
      "Sequences/Extend", .extend(ExtendFields(sequenceID: 2, appendTokens: 1)))
    // revision 3, scheduled 1, copies { copy 1: 2 -> 3, 2 tokens, sequence 2, index 1 }, available 7
    #expect(
      reply == [8, 3, 16, 1, 0x22, 12, 8, 1, 16, 2, 24, 3, 32, 2, 40, 2, 48, 1, 48, 7])
  }

  @Test("refusals name the sequence and leave the pool as it was")
  func refusals() {
    admit(1, 36)
    let cases: [(String, OperationFields, StatusCode, String, String)] = [
      (
        "Extend", .extend(ExtendFields(sequenceID: 9, appendTokens: 1)), .notFound,
        "UNKNOWN_SEQUENCE", "there is no sequence 9"
      ),
      (
        "Add", .add(AddFields(sequenceID: 1, tokenCount: 1)), .alreadyExists, "SEQUENCE_EXISTS",
        "there is a sequence 1 already"
      ),
      (
        "Admit", .admit(AdmitFields(sequenceID: 1)), .failedPrecondition, "WRONG_STATE",
        "sequence 1 is running already"
      ),
      (
        "Add", .add(AddFields(sequenceID: 2, tokenCount: 0)), .invalidArgument, "INVALID",
        "add.content.token_count must be at least 1"
      ),
      (
        "Admit", .admit(AdmitFields(sequenceID: 2, add: AddFields(sequenceID: 3, tokenCount: 1))),
        .invalidArgument, "INVALID", "admit.sequence_id must be the same as add.sequence_id"
      ),
      (
        "Admit", .admit(AdmitFields(sequenceID: 2, add: AddFields(sequenceID: 2, tokenCount: 8))),
        .resourceExhausted, "LATER", "needs 2 blocks, 1 are available now"
      ),
      (
        "Admit", .admit(AdmitFields(sequenceID: 2, add: AddFields(sequenceID: 2, tokenCount: 41))),
        .failedPrecondition, "NEVER", "needs 11 blocks, more than the pool's 10"
      ),
      (
        "Fork", .fork(parent: 1, children: []), .invalidArgument, "INVALID",
        "fork.child_ids must name at least one sequence"
      ),
      (
        "Rewind", .rewind(sequence: 1, dropTokens: 36), .invalidArgument, "INVALID",
        "rewind.drop_tokens must be at most 35"
      ),
      (
        "Preempt", .preempt([1, 1]), .invalidArgument, "INVALID",
        "preempt.sequence_ids names sequence 1 twice, again at index 1"
      ),
      (
        "Free", .freeSequences([4]), .notFound, "UNKNOWN_SEQUENCE", "there is no sequence 4"
      ),
    ]
    for (method, operation, code, reason, message) in cases {
      let status = harness.refuse("Sequences/\(method)", operation)
      #expect(status.code == code)
      #expect(status.trailer("quire-reason") == reason)
      #expect(status.message == message)
    }
  }

  @Test("limits of a command and of a pool are refused with their numbers")
  func quotas() {
    let harness = ServiceHarness(blocks: 1_100_000, blockSize: 1)
    let allocate = harness.refuse("BlockPool/Allocate", .allocate(count: 1_048_577))
    #expect(allocate.code == .failedPrecondition)
    #expect(allocate.trailer("quire-reason") == "QUOTA")
    #expect(allocate.trailer("quire-needed") == "1048577")
    // What is available has nothing to do with it.
    #expect(allocate.trailer("quire-available") == nil)
    #expect(
      allocate.message == "takes 1048577 blocks more, past the limit of 1048576 in one command")
    harness.succeed("Sequences/Add", .add(AddFields(sequenceID: 1, tokenCount: 1)))
    let fork = harness.refuse("Sequences/Fork", .fork(parent: 1, children: Array(2...1_048_577)))
    #expect(fork.code == .failedPrecondition)
    #expect(fork.message == "would be more than the limit of 1048576 sequences in a pool")
  }

  @Test("an unknown sequence is not found by Get")
  func getUnknown() {
    let (status, _) = harness.call(
      "Sequences/Get",
      harness.packed { $0.getSequenceRequest(call: CallFields(), sequenceID: 5) })
    #expect(status.code == .notFound)
    #expect(status.message == "there is no sequence 5")
  }

  @Test("lists page by page, each sequence once")
  func list() throws {
    for id in 1...5 {
      harness.succeed("Sequences/Add", .add(AddFields(sequenceID: UInt64(id), tokenCount: 4)))
    }
    admit(6, 4)
    var seen: [UInt64] = []
    var token = ""
    var pages = 0
    repeat {
      let (status, reply) = harness.call(
        "Sequences/List",
        harness.packed {
          $0.listSequencesRequest(call: CallFields(), pageSize: 2, pageToken: token, state: 1)
        })
      #expect(status == .ok)
      let page = try harness.decode(ListSequencesReplyMessage.self, reply)
      #expect(page.count <= 2)
      for index in 0..<page.count { seen.append(page.sequence(index).sequenceID) }
      token = page.nextPageToken
      pages += 1
    } while !token.isEmpty && pages < 9
    #expect(seen == [1, 2, 3, 4, 5])
    #expect(pages == 3)
  }

  @Test("promises are in the list: of sequences, then of names that have nothing else")
  func reserved() throws {
    for id in [4, 2, 3] as [UInt64] {
      harness.succeed("Sequences/Add", .add(AddFields(sequenceID: id, tokenCount: 4)))
    }
    for (id, blocks) in [(7, 1), (3, 2), (6, 1)] as [(UInt64, UInt32)] {
      harness.succeed("Sequences/Reserve", .reserve(sequence: id, blocks: blocks))
    }
    func pages(_ size: UInt32, state: UInt32 = 0) throws -> [[String]] {
      var pages: [[String]] = []
      var token = ""
      repeat {
        let (status, reply) = harness.call(
          "Sequences/List",
          harness.packed {
            $0.listSequencesRequest(
              call: CallFields(), pageSize: size, pageToken: token, state: state)
          })
        #expect(status == .ok)
        let page = try harness.decode(ListSequencesReplyMessage.self, reply)
        pages.append(
          (0..<page.count).map {
            let fields = page.sequence($0)
            return "\(fields.sequenceID) \(fields.state) \(fields.reservedBlocks)"
          })
        token = page.nextPageToken
      } while !token.isEmpty && pages.count < 9
      return pages
    }
    let names = ["6 5 1", "7 5 1"]
    #expect(try pages(9) == [["4 1 0", "2 1 0", "3 1 2"] + names])
    #expect(try pages(3) == [["4 1 0", "2 1 0", "3 1 2"], names])
    #expect(try pages(2) == [["4 1 0", "2 1 0"], ["3 1 2", "6 5 1"], ["7 5 1"]])
    #expect(try pages(1, state: 5) == [["6 5 1"], ["7 5 1"]])
    #expect(try pages(9, state: 1) == [["4 1 0", "2 1 0", "3 1 2"]])
    let (status, reply) = harness.call(
      "Sequences/Get",
      harness.packed { $0.getSequenceRequest(call: CallFields(), sequenceID: 7) })
    #expect(status == .ok)
    let fields = try harness.decode(SequenceMessage.self, reply).fields
    #expect((fields.sequenceID, fields.state, fields.reservedBlocks) == (7, 5, 1))
  }

  @Test("a page that is too large, or a made-up token, is refused")
  func badPages() {
    let (size, _) = harness.call(
      "Sequences/List",
      harness.packed { $0.listSequencesRequest(call: CallFields(), pageSize: 1_001) })
    #expect(size.message == "page_size must be at most 1000")
    let (token, _) = harness.call(
      "Sequences/List",
      harness.packed { $0.listSequencesRequest(call: CallFields(), pageToken: "x") })
    #expect(token.code == .invalidArgument)
  }
}
