import Glibc
import KVBlocks

/// What one operation costs in a pool of some size with so many live sequences:
///
///     GrowthBenchmark MEASURE BLOCKS SEQUENCES ROUNDS
///
/// prints nanoseconds of processor time per operation, the median of several stretches, and the
/// process's resident bytes per block. `growth.py` runs it over a grid, and under cachegrind, which
/// counts the cache lines. Where a pool is larger than the caches its cost is what memory costs, so
/// the queue is shuffled first: no two neighbours are near each other.
@main
enum GrowthBenchmark {
  static func main() {
    let arguments = CommandLine.arguments
    guard arguments.count == 5, let measure = Measure(rawValue: arguments[1]),
      let blocks = UInt32(arguments[2]), let sequences = Int(arguments[3]),
      let rounds = Int(arguments[4]), rounds >= stretches
    else {
      print("usage: GrowthBenchmark allocate|admit|decode BLOCKS SEQUENCES ROUNDS (at least 5)")
      exit(2)
    }
    let bench = GrowingPool(blocks, sequences, measure)
    var nanoseconds: [Double] = []
    for _ in 0..<stretches {
      let start = processorTime()
      let operations = bench.run(measure, rounds / stretches)
      nanoseconds.append(Double(processorTime() - start) / Double(operations))
    }
    nanoseconds.sort()
    print("ns=\(nanoseconds[stretches / 2]) bytes_per_block=\(bench.bytesPerBlock)")
  }

  static let stretches = 5

  static func processorTime() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  static func residentBytes() -> Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var size = 0
    var resident = 0
    let read = withUnsafeMutablePointer(to: &size) { size in
      withUnsafeMutablePointer(to: &resident) { resident in
        withVaList([size, resident]) { vfscanf(file, "%ld %ld", $0) }
      }
    }
    return read == 2 ? resident * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }
}

enum Measure: String {
  /// Half the blocks are held: one command gives back any of these, the next takes one.
  case allocate
  /// One command that admits a prompt of 1,024 tokens, its first half cached, and one that frees it.
  case admit
  /// One sequence's share of a decode of up to 256.
  case decode
}

/// A pool whose queue is in random order, with sequences that run in it.
final class GrowingPool {
  private let pool: KVPool
  private let outcome = Outcome()
  private let live: Int
  private var random = SplitMix(state: 1)
  private var nextHash: UInt64 = 1
  private let shared: [UInt64]
  private var held: [BlockID] = []
  /// Resident memory that the pool took when it was made; it writes all of it then.
  let bytesPerBlock: Double

  init(_ blocks: UInt32, _ live: Int, _ measure: Measure) {
    let caches = measure == .admit
    let before = GrowthBenchmark.residentBytes()
    pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 16, cachesPrefixes: caches))
    bytesPerBlock = Double(GrowthBenchmark.residentBytes() - before) / Double(blocks)
    self.live = live
    shared = (0..<32).flatMap { [UInt64(1) << 63 + $0, 0, 0, 0] }
    shuffleQueue(blocks)
    for i in 0..<live {
      apply(.admit(Admit(sequence: UInt64(i), add: AddSequence(sequence: UInt64(i), tokens: 8))))
    }
    if caches {
      admitPrompt(.max, shared)
      free(.max)
    }
    if measure == .allocate { hold(blocks / 2) }
  }

  /// - Returns: Operations done.
  func run(_ measure: Measure, _ rounds: Int) -> Int {
    switch measure {
    case .allocate:
      for _ in 0..<rounds {
        let place = Int(random.below(UInt64(held.count)))
        held.withUnsafeBufferPointer { giveBack(.init(rebasing: $0[place...place])) }
        apply(.allocate(count: 1))
        held[place] = outcome.blocks[0]
      }
      return rounds
    case .admit:
      for _ in 0..<rounds {
        var hashes = shared
        for _ in 0..<32 {
          hashes += [nextHash, 0, 0, 0]
          nextHash += 1
        }
        admitPrompt(.max, hashes)
        precondition(outcome.results[0].cachedTokens == 512, "the first half was not cached")
        free(.max)
      }
      return rounds
    case .decode:
      let columns = min(live, 256)
      for _ in 0..<rounds {
        // Neighbours in the list are far from each other in the table.
        let start = random.below(UInt64(live))
        let step = UInt64(live / columns)
        let ids = (0..<UInt64(columns)).map { (start + $0 * step) % UInt64(live) }
        ids.withUnsafeBufferPointer { apply(.decode(Decode(sequences: $0))) }
        precondition(outcome.results[0].refusedIndexes.count == 0, "the pool is too small")
      }
      return rounds * columns
    }
  }

  private func shuffleQueue(_ blocks: UInt32) {
    var ids: [BlockID] = []
    while ids.count < blocks {
      apply(.allocate(count: min(blocks - UInt32(ids.count), 1 << 20)))
      ids += Array(outcome.blocks.elements)
    }
    for i in stride(from: ids.count - 1, to: 0, by: -1) {
      ids.swapAt(i, Int(random.below(UInt64(i + 1))))
    }
    ids.withUnsafeBufferPointer {
      for start in stride(from: 0, to: $0.count, by: 1 << 20) {
        giveBack(UnsafeBufferPointer(rebasing: $0[start..<min(start + 1 << 20, $0.count)]))
      }
    }
  }

  private func hold(_ count: UInt32) {
    while held.count < count {
      apply(.allocate(count: min(count - UInt32(held.count), 1 << 20)))
      held += Array(outcome.blocks.elements)
    }
  }

  private func giveBack(_ ids: UnsafeBufferPointer<BlockID>) {
    apply(.freeBlocks(ids, generations: .init(start: nil, count: 0)))
  }

  private func admitPrompt(_ id: SequenceID, _ hashes: [UInt64]) {
    hashes.withUnsafeBytes {
      let bytes = $0.bindMemory(to: UInt8.self)
      let new = AddSequence(
        sequence: id, tokens: UInt32(hashes.count / 4 * 16), blockHashes: bytes)
      apply(.admit(Admit(sequence: id, add: new)))
    }
  }

  private func free(_ id: SequenceID) {
    [id].withUnsafeBufferPointer { apply(.freeSequences($0, ignoresMissing: false)) }
  }

  private func apply(_ kind: Operation.Kind) {
    withUnsafePointer(to: Operation(kind)) {
      pool.apply(
        Command(session: 0, operations: UnsafeBufferPointer(start: $0, count: 1)), into: outcome)
    }
    precondition(outcome.results[0].refusal.reason == .none, "the benchmark was refused")
  }
}

/// Vigna's SplitMix64.
struct SplitMix {
  var state: UInt64

  mutating func below(_ limit: UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return (z ^ (z >> 31)) % limit
  }
}
