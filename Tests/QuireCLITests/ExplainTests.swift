import QuireCLI
import Testing
import ToolSupport

private func incident(
  _ kind: UInt64, revision: UInt64, sequence: UInt64 = 0, cause: UInt64 = 0
) -> Message {
  var incident = Message("BlockIncident")
  incident.set("kind", kind)
  incident.set("revision", revision)
  incident.set("sequence_id", sequence)
  incident.set("cause", cause)
  incident.set("time_ms", 3_723_000)
  return incident
}

@Suite("explanations")
struct ExplainTests {
  @Test("of a block the first line says what it is and who made it so, then comes what it rests on")
  func cachedBlock() {
    var reply = Message("ExplainBlockReply")
    reply.set("block_id", 17)
    reply.set("state", 2)
    reply["block_hash"] = .bytes([0xAB, 0x01])
    reply.set("history_since", 1_000)
    reply.set(
      "incidents",
      list: [
        incident(1, revision: 1_001, sequence: 7),
        incident(5, revision: 1_002, sequence: 7, cause: 6),
      ])
    #expect(
      ExplainText.block(reply) == """
        Block 17 is cached, without a reference; last it was freed at revision 1,002, 01:02:03 UTC \
        (sequence 7, preemption).
        Content ab01

        What happened
            TIME  REVISION  WHAT       WHY         SEQUENCE  SESSION
        01:02:03      1001  allocated  -                  7  default
        01:02:03      1002  freed      preemption         7  default
          what was up to revision 1,000 is not known

        """)
  }

  @Test("a block that is held names its holders, with and without a sequence")
  func sharedBlock() {
    var reply = Message("ExplainBlockReply")
    reply.set("block_id", 2)
    reply.set("state", 4)
    reply.set("ref_count", 6)
    var holders: [Message] = (1...4).map {
      var holder = Message("BlockHolder")
      holder.set("sequence_id", UInt64($0))
      holder.set("references", 1)
      return holder
    }
    var raw = Message("BlockHolder")
    raw.set("references", 2)
    raw.set("session", 255)
    holders.append(raw)
    reply.set("holders", list: holders)
    reply.set("history_off", true)
    let lines = ExplainText.block(reply).split(separator: "\n")
    #expect(
      lines[0]
        == "Block 2 is shared, with 6 references: sequences 1, 2, 3 and 1 more, 2 without a sequence."
    )
    #expect(lines.contains("       raw      -           2  00000000000000ff"))
    #expect(lines.last == "  the server keeps no history of blocks: see quired --block-history")
  }

  @Test("of a prefix the server's conclusion comes first, then what hits and what misses")
  func prefix() {
    var reply = Message("ExplainLookupReply")
    reply.set("conclusion", "8 of 16 tokens are used\u{1B}[2J.")
    reply.set("full_blocks", 4)
    var steps: [Message] = ([5, 6] as [UInt64]).map {
      var step = Message("LookupStep")
      step.set("block_id", $0)
      return step
    }
    var miss = Message("LookupStep")
    miss.set("block_index", 2)
    miss["block_hash"] = .bytes([1, 2, 3, 4, 5, 6, 7, 8])
    miss.set("evicted_revision", 9)
    miss.set("evicted_ms", 3_723_000)
    miss.set("evicted_cause", 1)
    miss.set("evicted_for_sequence", 77)
    steps.append(miss)
    reply.set("steps", list: steps)
    #expect(
      ExplainText.prefix(reply) == """
        8 of 16 tokens are used?[2J.

        Cached  2 of 4 full blocks
          blocks 5-6

        Missed
          INDEX  HASH          EVICTED AT      TIME  WHY       FOR SEQUENCE
              2  010203040506           9  01:02:03  hand out            77

        """)
  }
}
