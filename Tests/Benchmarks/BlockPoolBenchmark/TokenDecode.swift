import BlockHashing
import KVBlocks

/// vLLM's hashes for a pool of this process, as the service makes them.
private final class BenchmarkHasher: TokenHashing {
  private let hasher: BlockHasher

  init() {
    do {
      hasher = try BlockHasher(.sha256CBOR, blockSize: 16)
    } catch {
      preconditionFailure("the benchmark has no hasher: \(error)")
    }
  }

  func hash(_ job: TokenHashJob, into hashes: UnsafeMutablePointer<UInt8>) -> Int {
    hasher.hashFullBlocks(
      after: job.parent, at: job.start, tail: job.tail, appended: job.appended,
      extraKeys: job.extraKeys, into: hashes)
  }

  func keyBytes(
    _ extraKeys: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int, sizeClass: UInt8
  ) -> UInt64 {
    0
  }

  func accepts(extraKeys: UnsafeBufferPointer<UInt8>) -> Bool { true }
}

extension BlockPoolBenchmark {
  static func hashingPool() -> KVPool {
    KVPool(
      PoolConfiguration(blocks: blocks, blockSize: 16, cachesPrefixes: true),
      hasher: BenchmarkHasher())
  }

  /// A decode of 256 sequences that brings their tokens, in nanoseconds. `phases` 16: one
  /// sequence in sixteen fills a block in each step, and all steps count; 1: all do in the same one,
  /// every sixteenth, and only those count.
  static func decodeWithTokens(steps: Int, phases: Int) -> Double {
    let pool = hashingPool()
    let outcome = Outcome()
    var ids: [SequenceID] = []
    var state: UInt64 = 42
    for i in 0..<256 {
      let id = SequenceID(1_000 + i)
      ids.append(id)
      let prompt = (0..<512 + i % phases).map { _ in token(&state) }
      prompt.withUnsafeBufferPointer {
        let new = AddSequence(sequence: id, tokens: UInt32($0.count), tokenIDs: $0)
        apply(.admit(Admit(sequence: id, add: new)), to: pool, outcome)
      }
    }
    let tokens = (0..<256).map { _ in token(&state) }
    return ids.withUnsafeBufferPointer { sequences in
      tokens.withUnsafeBufferPointer { tokens in
        func decode(_ count: Int) {
          for _ in 0..<count {
            apply(.decode(Decode(sequences: sequences, tokenIDs: tokens)), to: pool, outcome)
            check(outcome.results[0].refusedIndexes.count == 0)
          }
        }
        if phases == 16 { return time(steps) { decode(steps) } }
        var spent = 0.0
        for _ in 0..<steps / 16 {
          decode(15)
          spent += time(steps / 16) { decode(1) }
        }
        return spent
      }
    }
  }
}
