import Glibc
import KVBlocks

/// What the domain costs in this process: `swift run -c release BlockPoolBenchmark`.
///
/// Prints nanoseconds of processor time per pair of allocate(n) and free(n), as the median of several
/// repeats, for the pool alone, for whole commands, and for a naive pool measured in the same run;
/// then microseconds per decode step of 256 sequences. The queue is either fresh (ascending ids) or
/// shuffled (every block was freed in random order before).
@main
enum BlockPoolBenchmark {
  static let blocks: UInt32 = 65_536
  static let repeats = 9

  static func main() {
    if CommandLine.arguments.contains("--rows") { return printRows() }
    if let i = CommandLine.arguments.firstIndex(of: "--count") {
      return runCounted(Array(CommandLine.arguments[(i + 1)...]))
    }
    print("pool of \(blocks) blocks, median of \(repeats) repeats")
    print("pair of calls          queue      BlockPool      command        naive   naive/BlockPool")
    for count in [1, 64] as [UInt32] {
      for isShuffled in [false, true] {
        let pairs = count == 1 ? 2_000_000 : 100_000
        let alone = median { poolAlone(count, isShuffled, pairs) }
        let command = median { commands(count, isShuffled, pairs / 4) }
        let naive = median { naivePool(count, isShuffled, pairs / 20) }
        print(
          left("allocate(\(count)) + free(\(count))", 23)
            + left(isShuffled ? "shuffled" : "fresh", 9)
            + right(alone, "ns") + right(command, "ns") + right(naive, "ns")
            + right(naive / alone, "x"))
      }
    }
    print("")
    print(
      "decode of 256 sequences, 16 tokens a block, one token each, phases spread evenly:"
        + right(median { decode(steps: 2_000) } / 1_000, "us"))
    print(
      "the same with prefix caching, one in sixteen with the hash of a full block:"
        + right(median { decodeWithHashes(steps: 2_000) } / 1_000, "us"))
    print(
      "the same with token ids, hashed as the service does:"
        + right(median { decodeWithTokens(steps: 2_000, phases: 16) } / 1_000, "us"))
    print(
      "the same in lock-step, the one step in sixteen in which all 256 fill a block:"
        + right(median { decodeWithTokens(steps: 2_000, phases: 1) } / 1_000, "us"))
    print(
      "admit and free a prompt of 1,024 tokens, the first half cached, hashes given:"
        + right(median { prompts(5_000) } / 1_000, "us"))
    for (policy, name) in [
      (EvictionPolicy.lfu, "lfu"), (.s3FIFO, "s3-fifo"), (.priority, "priority"),
    ] {
      print(
        "the same in a pool that evicts by \(name):"
          + right(median { prompts(5_000, policy) } / 1_000, "us"))
    }
    printLogged()
  }

  // MARK: What is measured

  static func poolAlone(_ count: UInt32, _ isShuffled: Bool, _ pairs: Int) -> Double {
    let pool = BlockPool(capacity: blocks)
    var list = FlatList<BlockID>(minimumCapacity: Int(blocks))
    if isShuffled {
      check(pool.allocate(blocks, generation: 1, appendingTo: &list))
      let ids = shuffled(list.elements)
      check(ids.withUnsafeBufferPointer { pool.free($0) })
      list.removeAll()
    }
    return time(pairs) {
      for _ in 0..<pairs {
        check(pool.allocate(count, generation: 2, appendingTo: &list))
        check(pool.free(list.elements))
        list.removeAll()
      }
    }
  }

  static func commands(
    _ count: UInt32, _ isShuffled: Bool, _ pairs: Int, logs: Bool = false, tracks: Bool = false
  ) -> Double {
    let pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 16))
    let outcome = Outcome()
    if logs { pool.attachChangeLog() }
    let follower = tracks ? Follower(pool) : nil
    if isShuffled {
      apply(.allocate(count: blocks), to: pool, outcome)
      let ids = shuffled(outcome.blocks.elements)
      ids.withUnsafeBufferPointer { apply(free($0), to: pool, outcome) }
    }
    var held = FlatList<BlockID>(minimumCapacity: Int(count))
    return time(pairs) {
      for _ in 0..<pairs {
        apply(.allocate(count: count), to: pool, outcome)
        follower?.follow()
        held.removeAll()
        for i in 0..<outcome.blocks.count { held.append(outcome.blocks[i]) }
        apply(free(held.elements), to: pool, outcome)
        follower?.follow()
      }
    }
  }

  static func naivePool(_ count: UInt32, _ isShuffled: Bool, _ pairs: Int) -> Double {
    var pool = NaivePool(capacity: blocks)
    if isShuffled {
      let all = pool.allocate(Int(blocks))
      pool.free(shuffled(all))
    }
    return time(pairs) {
      for _ in 0..<pairs { pool.free(pool.allocate(Int(count))) }
    }
  }

  /// The same with prefix caching: the sequence whose block is full brings its hash.
  static func decodeWithHashes(steps: Int, logs: Bool = false) -> Double {
    let pool = cachingPool()
    let outcome = Outcome()
    if logs { pool.attachChangeLog() }
    var ids: [SequenceID] = []
    var next: UInt64 = 1
    for i in 0..<256 {
      let id = SequenceID(1_000 + i)
      ids.append(id)
      withHashes(&next, 32) { hashes in
        let new = AddSequence(sequence: id, tokens: UInt32(512 + i % 16), blockHashes: hashes)
        apply(.admit(Admit(sequence: id, add: new)), to: pool, outcome)
      }
    }
    // One in sixteen fills a block in each step.
    return ids.withUnsafeBufferPointer { sequences in
      time(steps) {
        for _ in 0..<steps {
          withHashes(&next, 16) { hashes in
            apply(
              .decode(Decode(sequences: sequences, blockHashes: hashes)), to: pool, outcome)
          }
          check(outcome.results[0].refusedIndexes.count == 0)
        }
      }
    }
  }

  /// Admit and free a prompt of 1,024 tokens of which the first half is cached, in nanoseconds.
  /// From the 2,048th prompt on the pool is full, and each evicts 32 blocks of earlier ones.
  static func prompts(
    _ count: Int, _ eviction: EvictionPolicy = .lru, logs: Bool = false
  ) -> Double {
    let pool = KVPool(
      PoolConfiguration(
        blocks: blocks, blockSize: 16, cachesPrefixes: true, eviction: eviction))
    let outcome = Outcome()
    if logs { pool.attachChangeLog() }
    var next: UInt64 = 1
    var shared: UInt64 = 1 << 40
    withHashes(&shared, 32) { hashes in
      let new = AddSequence(sequence: 1, tokens: 512, blockHashes: hashes)
      apply(.admit(Admit(sequence: 1, add: new)), to: pool, outcome)
    }
    let sequence: [SequenceID] = [2]
    return sequence.withUnsafeBufferPointer { ids in
      time(count) {
        for _ in 0..<count {
          shared = 1 << 40
          withHashes(&shared, 32, &next, 32) { hashes in
            let new = AddSequence(sequence: 2, tokens: 1_024, blockHashes: hashes)
            apply(.admit(Admit(sequence: 2, add: new)), to: pool, outcome)
          }
          check(outcome.results[0].cachedTokens == 512)
          apply(.freeSequences(ids, ignoresMissing: false), to: pool, outcome)
        }
      }
    }
  }

  static func cachingPool() -> KVPool {
    KVPool(PoolConfiguration(blocks: blocks, blockSize: 16, cachesPrefixes: true))
  }

  /// Hashes that count on from `next`, in the first of their four words.
  static func withHashes(
    _ next: inout UInt64, _ count: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    var none: UInt64 = 0
    withHashes(&next, count, &none, 0, body)
  }

  static func withHashes(
    _ first: inout UInt64, _ firstCount: Int, _ second: inout UInt64, _ secondCount: Int,
    _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: (firstCount + secondCount) * 4) {
      words in
      words.initialize(repeating: 0)
      for i in 0..<firstCount + secondCount {
        if i < firstCount {
          words[i * 4] = first
          first += 1
        } else {
          words[i * 4] = second
          second += 1
        }
      }
      UnsafeRawBufferPointer(words).withMemoryRebound(to: UInt8.self) { body($0) }
    }
  }

  static func decode(steps: Int, logs: Bool = false, tracks: Bool = false) -> Double {
    let pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 16))
    let outcome = Outcome()
    if logs { pool.attachChangeLog() }
    let follower = tracks ? Follower(pool) : nil
    var ids: [SequenceID] = []
    for i in 0..<256 {
      let id = SequenceID(1_000 + i)
      ids.append(id)
      let new = AddSequence(sequence: id, tokens: UInt32(512 + i % 16))
      apply(.admit(Admit(sequence: id, add: new)), to: pool, outcome)
    }
    return ids.withUnsafeBufferPointer { sequences in
      time(steps) {
        for _ in 0..<steps {
          apply(.decode(Decode(sequences: sequences)), to: pool, outcome)
          follower?.follow()
          check(outcome.results[0].refusedIndexes.count == 0)
        }
      }
    }
  }

  // MARK: Tools

  static func free(_ ids: UnsafeBufferPointer<BlockID>) -> Operation.Kind {
    .freeBlocks(ids, generations: .init(start: nil, count: 0))
  }

  static func apply(_ kind: Operation.Kind, to pool: KVPool, _ outcome: Outcome) {
    withUnsafePointer(to: Operation(kind)) { operation in
      let operations = UnsafeBufferPointer(start: operation, count: 1)
      pool.apply(Command(session: 0, operations: operations), into: outcome)
    }
    check(outcome.results[0].refusal.reason == .none)
  }

  static func check(_ condition: Bool) { precondition(condition, "the benchmark was refused") }

  /// Nanoseconds for each of `rounds` of what `body` does.
  static func time(_ rounds: Int, _ body: () -> Void) -> Double {
    let start = nanoseconds()
    body()
    return Double(nanoseconds() - start) / Double(rounds)
  }

  /// Of this thread's own processor time, so that a busy machine does not count.
  static func nanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  static func median(_ measure: () -> Double) -> Double {
    var values: [Double] = []
    for _ in 0..<repeats { values.append(measure()) }
    values.sort()
    return values[repeats / 2]
  }

  /// Fisher and Yates with a fixed linear congruential generator: the same order in every run.
  static func shuffled(_ ids: some Sequence<BlockID>) -> [BlockID] {
    var ids = Array(ids)
    var state: UInt64 = 42
    for i in stride(from: ids.count - 1, to: 0, by: -1) {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      ids.swapAt(i, Int((state >> 33) % UInt64(i + 1)))
    }
    return ids
  }

  static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  static func right(_ value: Double, _ unit: String) -> String {
    let tenths = Int((value * 10).rounded())
    let text = "\(tenths / 10).\(tenths % 10) \(unit)"
    return String(repeating: " ", count: max(1, 13 - text.count)) + text
  }
}
