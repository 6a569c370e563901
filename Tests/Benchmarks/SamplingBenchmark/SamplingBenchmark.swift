import Analysis
import Glibc
import KVBlocks

/// What a look at a pool costs, for pools in several states: microseconds, median of many.
///
///     SamplingBenchmark [BLOCKS]
///     SamplingBenchmark pieces [BLOCKS]
@main
enum SamplingBenchmark {
  static func main() {
    let words = CommandLine.arguments.dropFirst()
    let blocks = words.last.flatMap { UInt32($0) } ?? 1_000_000
    if words.first == "pieces" { return ReplayPieces(blocks: blocks).run() }
    print("a look at a pool of \(blocks) blocks, us:")
    print("state                     sample  with runs and slots  snapshot   map   begin  report")
    measure("all free", blocks) { _ in }
    measure("random, half is free", blocks) { bench in bench.freeHalf(by: 1) }
    measure("every other block", blocks) { bench in bench.freeHalf(by: 0) }
    measure("random runs of 64", blocks) { bench in bench.freeHalf(by: 64) }
    measure("10,000 running sequences", blocks) { bench in
      bench.admit(min(10_000, Int(blocks) / 100))
    }
    measure("cached, no prefix twice", blocks) { bench in bench.cacheAll() }
    measure("50,000 short ones", blocks) { bench in
      bench.admit(min(50_000, Int(blocks) / 20), 160)
    }
    let bench = Bench(blocks)
    bench.freeHalf(by: 1)
    for count in [1_000, 10_000, 100_000] as [UInt32] where count < blocks / 4 {
      let text = "catching up, \(count) blocks have changed:"
      print(text, Int(bench.median(changing: count) { bench.tracker.catchUp(with: bench.pool) }))
    }
  }

  private static func measure(_ name: String, _ blocks: UInt32, _ prepare: (Bench) -> Void) {
    let bench = Bench(blocks)
    prepare(bench)
    let columns = [
      bench.median { bench.tracker.sample(bench.pool, at: bench.nextTime()) },
      bench.median { _ = bench.tracker.layout(of: bench.pool) },
      bench.median { _ = FragmentationSnapshot(of: bench.pool, bench.tracker, at: 1) },
      bench.median {
        let cells = (blocks - 1) / 65_536 + 1
        _ = BlockLayoutAnalyzer(bench.pool, bench.tracker).map(from: 1, blocks, perCell: cells)
      },
      bench.median { _ = FragmentationTracker(bench.pool, follows: true) },
      bench.medianOfReports {
        let report = bench.analyzer.report(
          bench.pool, named: "default", at: bench.nextTime(), intervalMilliseconds: 1_000)
        _ = FragmentationReporter(report).written(as: .html)
      },
    ]
    let widths = [8, 21, 10, 6, 8, 8]
    let row = zip(columns, widths).map { value, width in
      let text = "\(Int(value))"
      return String(repeating: " ", count: max(1, width - text.utf8.count)) + text
    }
    print(name + String(repeating: " ", count: max(1, 24 - name.utf8.count)) + row.joined())
  }

  /// A pool, its analyzer, and a command between two looks, so that none finds the last one's runs.
  final class Bench {
    let pool: KVPool
    let analyzer: MemoryFragmentationAnalyzer
    var tracker: FragmentationTracker { analyzer.tracker }
    private let outcome = Outcome()
    private let blocks: UInt32
    private var random: UInt64 = 1
    private var time: UInt64 = 0
    private var isHeld = false

    init(_ blocks: UInt32) {
      self.blocks = blocks
      pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 16, cachesPrefixes: true))
      analyzer = MemoryFragmentationAnalyzer(pool)
      analyzer.start(pool)
    }

    func nextTime() -> UInt64 {
      time += 100
      return time
    }

    private func apply(_ kind: Operation.Kind) {
      withUnsafePointer(to: Operation(kind)) { operation in
        let operations = UnsafeBufferPointer(start: operation, count: 1)
        pool.apply(Command(session: 0, operations: operations), into: outcome)
      }
      precondition(outcome.results[0].refusal.reason == .none, "the pool refused")
    }

    /// All are taken, and then half of them given back: in runs of about so many, or every other one.
    func freeHalf(by run: UInt32) {
      var left = blocks
      while left > 0 {
        let count = min(left, KVPool.maximumBlocksPerCommand)
        apply(.allocate(count: count))
        left -= count
      }
      var free: [BlockID] = []
      for id in 1...blocks where run == 0 ? id % 2 == 0 : isFree((id - 1) / run) { free.append(id) }
      var begin = 0
      while begin < free.count {
        let end = min(begin + 500_000, free.count)
        free[begin..<end].withUnsafeBufferPointer {
          apply(.freeBlocks($0, generations: .init(start: nil, count: 0)))
        }
        begin = end
      }
    }

    private func isFree(_ run: UInt32) -> Bool {
      var bits = UInt64(run) &* 0x9E37_79B9_7F4A_7C15
      bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
      return (bits ^ bits >> 27) >> 40 & 1 == 1
    }

    /// `tokens` 0: of many lengths.
    func admit(_ count: Int, _ tokens: UInt32 = 0) {
      for i in 1...count {
        let new = AddSequence(
          sequence: SequenceID(i), tokens: tokens == 0 ? UInt32(100 + i % 900) : tokens)
        apply(.admit(Admit(sequence: SequenceID(i), add: new)))
      }
    }

    /// Every block keeps a content of its own, of prefixes of sixteen blocks.
    func cacheAll() {
      var content: UInt64 = 0
      for first in stride(from: 1, through: blocks, by: 16) {
        let count = min(16, blocks - first + 1)
        apply(.allocate(count: count))
        let ids = Array(outcome.blocks.elements)
        var hashes: [BlockHash] = []
        for _ in ids {
          content &+= 0x9E37_79B9_7F4A_7C15
          hashes.append(BlockHash(content, content, content, content))
        }
        ids.withUnsafeBufferPointer { ids in
          hashes.withUnsafeBytes {
            apply(.cacheBlocks(ids, blockHashes: $0.bindMemory(to: UInt8.self)))
          }
          apply(.freeBlocks(ids, generations: .init(start: nil, count: 0)))
        }
      }
    }

    /// With a day of history: seconds, tens of seconds and minutes.
    func medianOfReports(_ body: () -> Void) -> Double {
      for (count, step) in [(700, 60_000), (700, 10_000), (600, 1_000)] as [(Int, UInt64)] {
        for _ in 0..<count {
          time += step
          tracker.sample(pool, at: time)
        }
      }
      return median(body)
    }

    /// `changing`: as many blocks are taken or given back before each look.
    func median(changing count: UInt32 = 1, _ body: () -> Void) -> Double {
      var times: [Double] = []
      for _ in 0..<31 {
        if isHeld {
          held.withUnsafeBufferPointer {
            apply(.freeBlocks($0, generations: .init(start: nil, count: 0)))
          }
        } else {
          apply(.allocate(count: count))
          held = Array(outcome.blocks.elements)
        }
        isHeld.toggle()
        var begin = timespec()
        clock_gettime(CLOCK_MONOTONIC, &begin)
        body()
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        times.append(
          Double(end.tv_sec - begin.tv_sec) * 1e6 + Double(end.tv_nsec - begin.tv_nsec) / 1e3)
      }
      return times.sorted()[times.count / 2]
    }

    private var held: [BlockID] = []
  }
}
