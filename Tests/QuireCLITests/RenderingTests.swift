import QuireCLI
import Testing

/// 100 blocks of 16: 50 free, 10 cached, 30 active, 8 shared, 2 pinned.
private func sample() -> Message {
  var stats = Message("Stats")
  stats.set("pool", "tight")
  stats.set("revision", 12_345)
  for (field, value) in [
    ("capacity_blocks", 100), ("free_blocks", 50), ("cached_blocks", 10), ("active_blocks", 30),
    ("shared_blocks", 8), ("pinned_blocks", 2), ("available_blocks", 60), ("block_size", 16),
    ("high_watermark_blocks", 70), ("sequence_slots_held", 640), ("sequence_slots_used", 600),
    ("running_sequences", 3), ("waiting_sequences", 1), ("allocate_calls", 9),
    ("allocated_blocks", 1_234), ("prefix_query_tokens", 200), ("prefix_hit_tokens", 50),
  ] { stats.set(field, UInt64(value)) }
  var runs = Message("FreeRuns")
  runs.set("count", 4)
  runs.set("largest", 20)
  stats.set("free_runs", runs)
  runs.set("largest", 25)
  stats.set("available_runs", runs)
  stats.set("external_fragmentation", real: 0.6)
  stats.set("internal_fragmentation", real: 0.0625)
  var refused = Message("RefusalCount")
  refused.set("reason", 1)
  refused.set("count", 7)
  stats.set("refusals", list: [refused])
  return stats
}

@Suite("what people see")
struct RenderingTests {
  @Test("stats show every state with its share, and refusals beside fragmentation")
  func stats() {
    let text = StatsText.render(sample())
    for line in [
      "Pool 'tight' at revision 12,345: 100 blocks of 16 tokens",
      "Blocks  [aaaaaaaaaaaassspcccc....................]  40.0 % held",
      "  internal  6.3 %  40 of 640 slots that sequences hold are unused: tails of last blocks, "
        + "and blocks held ahead",
      "  external  60.0 %  of the free blocks are outside the longest free run",
      "  free runs: 4, longest 20 blocks", "  available runs: 4, longest 25 blocks",
      "Sequences  3 running, 1 waiting, 0 preempted, 0 swapped",
      "  allocated  1,234 blocks in 9 operations",
      "  prefixes   50 of 200 tokens found: 25.0 %", "  refused    later 7",
    ] { #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)\n\(text)") }
    #expect(text.contains("  shared           8   8.0 %"))
    #expect(!text.contains("\u{1B}"))
  }

  @Test("colour is there where it can be shown, and only there")
  func color() {
    #expect(StatsText.render(sample(), style: Style(hasColor: true)).contains("\u{1B}[34m"))
    #expect(!StatsText.render(sample()).contains("\u{1B}"))
  }

  @Test("a watched pool is a line a look, counters as their growth in a second")
  func rows() {
    var rows = StatsRows()
    var stats = sample()
    let first = rows.next(stats, at: 3_723_000)
    #expect(first.hasPrefix(StatsRows.titles))
    #expect(first.contains("01:02:03   40.0        50        10        30         8"))
    stats.set("allocated_blocks", 1_334)
    let second = rows.next(stats, at: 3_725_000)
    #expect(!second.contains("alloc/s"))
    #expect(second.split(separator: " ").map(String.init)[8...9] == ["50", "0"])
    // A reset pool begins again.
    stats.set("allocated_blocks", 6)
    #expect(rows.next(stats, at: 3_726_000).split(separator: " ")[8] == "6.0")
    // Nothing was looked up between the first two; now 40 tokens were, of which 10 were there.
    #expect(second.split(separator: " ")[13] == "-")
    stats.set("prefix_query_tokens", 240)
    stats.set("prefix_hit_tokens", 60)
    #expect(rows.next(stats, at: 3_727_000).split(separator: " ")[13] == "25.0")
  }

  @Test("a table of blocks is told by its stretches")
  func tables() {
    var sequence = Message("Sequence")
    sequence.set("sequence_id", 7)
    sequence.set("state", 2)
    sequence.set("label", "evil\u{1B}[31m")
    sequence.set("block_ids", list: [0, 0, 3, 4, 5, 9, 8])
    let text = SequencesText.renderOne(sequence)
    #expect(text.contains("  -x2 3-5 9 8\n"))
    #expect(text.contains("running") && text.contains("evil?[31m"))
    #expect(SequencesText.render([]) == "no sequences\n")
  }

  @Test("pools are a row each, with what is not said as its default")
  func pools() {
    var config = Message("PoolConfig")
    config.set("block_size", 16)
    config.set("strategy", 3)
    var pool = Message("PoolInfo")
    pool.set("name", "a")
    pool.set("blocks", 2_048)
    pool.set("available_blocks", 48)
    pool.set("config", config)
    let lines = PoolsText.render([pool]).split(separator: "\n")
    #expect(lines[0].hasPrefix("POOL  BLOCKS  TOKENS EACH  AVAILABLE"))
    #expect(
      lines[1].split(separator: " ").map(String.init) == [
        "a", "2,048", "16", "48", "-", "best-fit", "lru", "0.0", "%", "0",
      ])
  }

  @Test("a plan says what it joins and what it copies")
  func plans() {
    var move = Message("BlockMove")
    move.set("source_block", 49)
    move.set("target_block", 2)
    move.set("tokens", 16)
    move.set("sequence_id", 1)
    var plan = Message("DefragmentPlan")
    plan.set("moves", list: [move])
    plan.set("largest_run_before", 51)
    plan.set("largest_run_after", 53)
    plan.set("tokens_to_copy", 16)
    plan.set("sufficient", true)
    #expect(
      DefragText.plan(plan) == """
        1 move, 16 tokens to copy: longest run 51 -> 53 available blocks
          FROM  TO  TOKENS  SEQUENCE
            49   2      16         1

        """)
    plan.set("moves", list: [Message]())
    #expect(DefragText.plan(plan) == "nothing to move: it is as good as it gets\n")
    plan.set("sufficient", false)
    #expect(DefragText.plan(plan).hasPrefix("no moves reach the goal"))
  }

  @Test("copies are handed on a line each")
  func copies() {
    var copy = Message("CopyOrder")
    copy.set("copy_id", 3)
    copy.set("source_block", 49)
    copy.set("target_block", 2)
    copy.set("tokens", 16)
    #expect(DefragText.copyLines([copy, copy]) == "3 49 2 16\n3 49 2 16\n")
  }
}
