import QuireCLI
import Testing

@Suite("one consistent look")
struct SnapshotTests {
  /// Free runs: three of 1, one of 4-7. With the cached blocks one of 1 and one of 8-15.
  private func sample() -> Message {
    var snapshot = Message("FragmentationSnapshot")
    snapshot.set("free_run_histogram", list: [3, 0, 1])
    snapshot.set("available_run_histogram", list: [1, 0, 0, 1])
    snapshot.set("mean_free_run", real: 1.75)
    snapshot.set("mean_available_run", real: 5)
    snapshot.set("usage_by_blocks", real: 0.32)
    snapshot.set("usage_by_slots", real: 0.17)
    snapshot.set("partial_blocks", 2)
    snapshot.set("unused_slots", 30)
    snapshot["probe_fits"] = .list([.flag(true), .flag(false), .flag(false)])
    snapshot["probe_fits_available"] = .list([.flag(true), .flag(true), .flag(false)])
    var spot = Message("Hotspot")
    spot.set("first_block", 65)
    spot.set("blocks", 64)
    spot.set("available_blocks", 32)
    spot.set("runs", 32)
    snapshot.set("hotspots", list: [spot])
    var sequence = Message("Sequence")
    sequence.set("sequence_id", 7)
    sequence.set("tokens", 17)
    sequence.set("exclusive_blocks", 2)
    sequence.set("label", "chat")
    var footprint = Message("SequenceFootprint")
    footprint.set("sequence", sequence)
    footprint.set("unused_slots", 15)
    footprint.set("separated_runs", 2)
    footprint.set("age_ms", 61_000)
    snapshot.set("sequences", list: [footprint])
    var owner = Message("OwnerFootprint")
    owner.set("blocks", 2)
    owner.set("raw_blocks", 1)
    snapshot.set("owners", list: [owner])
    return snapshot
  }

  @Test("runs have a line for each power of two, of both kinds")
  func runs() {
    let lines = SnapshotText.render(sample()).split(separator: "\n").map {
      $0.split(separator: " ").joined(separator: " ")
    }
    let bars = (three: String(repeating: "#", count: 24), one: String(repeating: "#", count: 8))
    for line in [
      "1 3 \(bars.three) 1 \(bars.one)", "2-3 0 0", "4-7 1 \(bars.one) 0", "8-15 0 1 \(bars.one)",
      "mean: 1.8 free, 5.0 free and cached",
    ] { #expect(lines.contains(line), "\(line)") }
  }

  @Test("what would fit is told with what it takes")
  func probes() {
    let text = SnapshotText.render(sample(), probes: [4, 8, 1_000])
    #expect(text.contains("  4 blocks: yes\n"))
    #expect(text.contains("  8 blocks: yes, if cached blocks are evicted\n"))
    #expect(text.contains("  1,000 blocks: no\n"))
    #expect(!SnapshotText.render(sample()).contains("Would a run fit"))
  }

  @Test("usage by blocks stands beside usage by slots, and costs beside their holders")
  func costs() {
    let text = SnapshotText.render(sample())
    #expect(text.contains("by blocks 32.0 %, by slots 17.0 %"))
    let words = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(words.contains(["65-128", "32", "32"]))
    #expect(words.contains(["7", "17", "2", "0", "0", "15", "2", "61", "s", "chat"]))
    #expect(words.contains(["0", "2", "1", "0", "0", "0", "0", "-", "-"]))
  }

  @Test("a look at nothing has something to say")
  func empty() {
    #expect(
      SnapshotText.render(Message("FragmentationSnapshot")).contains("No free blocks"))
  }
}
