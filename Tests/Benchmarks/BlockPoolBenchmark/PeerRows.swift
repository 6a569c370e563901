import BlockHashing
import KVBlocks

/// The rows that `peers/vllm_block_manager.py` measures of vLLM's classes as well: the same work, a
/// line each, name and nanoseconds. `BlockPoolBenchmark --rows` measures each once, so that the
/// script can take turns.
extension BlockPoolBenchmark {
  static func printRows() {
    print("allocate-1", poolAlone(1, false, 500_000))
    print("allocate-64", poolAlone(64, true, 30_000))
    print("decode-hashes", decodeWithHashes(steps: 500))
    print("decode-tokens", decodeWithTokens(steps: 500))
    print("prompt-hashes", prompts(2_000))
    print("prompt-tokens", promptsOfTokens(500))
  }

  static func hasher() -> BlockHasher {
    do {
      return try BlockHasher(.sha256CBOR, seed: nil, blockSize: 16)
    } catch {
      preconditionFailure("the benchmark has no hasher: \(error)")
    }
  }

  /// Ids of a vocabulary of 128,000, in no order.
  static func token(_ state: inout UInt64) -> UInt32 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt32((state >> 33) % 128_000)
  }

  /// A decode step of 256 sequences whose tokens are given: each keeps the tokens of its last block,
  /// one in sixteen fills it, and is hashed.
  static func decodeWithTokens(steps: Int) -> Double {
    let pool = cachingPool()
    let outcome = Outcome()
    let hasher = hasher()
    var ids: [SequenceID] = []
    var last: [ContentHash] = []
    var filled = [Int](repeating: 512, count: 256)
    var tails = [UInt32](repeating: 0, count: 256 * 16)
    var tailCounts: [Int] = []
    var state: UInt64 = 42
    for i in 0..<256 {
      let id = SequenceID(1_000 + i)
      let tokens = (0..<512 + i % 16).map { _ in token(&state) }
      ids.append(id)
      for (j, token) in tokens[512...].enumerated() { tails[i * 16 + j] = token }
      tailCounts.append(tokens.count - 512)
      last.append(hasher.seedHash)
      let bytes = hashes(of: tokens, hasher) { last[i] = $0 }
      bytes.withUnsafeBufferPointer {
        let new = AddSequence(sequence: id, tokens: UInt32(tokens.count), blockHashes: $0)
        apply(.admit(Admit(sequence: id, add: new)), to: pool, outcome)
      }
    }
    var bytes = FlatList<UInt8>(minimumCapacity: 256 * 32)
    let sampled = (0..<steps * 256).map { _ in token(&state) }
    let nothing = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    return ids.withUnsafeBufferPointer { sequences in
      time(steps) {
        for step in 0..<steps {
          bytes.removeAll()
          for i in 0..<256 {
            tails[i * 16 + tailCounts[i]] = sampled[step * 256 + i]
            tailCounts[i] += 1
            if tailCounts[i] < 16 { continue }
            _ = tails.withUnsafeBufferPointer {
              hasher.hashFullBlocks(
                after: last[i], at: filled[i], tail: .init(rebasing: $0[i * 16..<i * 16 + 16]),
                appended: nothing
              ) {
                last[i] = $0
                $0.write(to: bytes.extend(by: 32), 32)
              }
            }
            filled[i] += 16
            tailCounts[i] = 0
          }
          apply(
            .decode(Decode(sequences: sequences, blockHashes: bytes.elements)), to: pool, outcome)
          check(outcome.results[0].refusedIndexes.count == 0 && bytes.count == 16 * 32)
        }
      }
    }
  }

  /// A prompt of 1,024 tokens of which the first half is cached: hashed, looked up, admitted, freed.
  static func promptsOfTokens(_ count: Int) -> Double {
    let pool = cachingPool()
    let outcome = Outcome()
    let hasher = hasher()
    var state: UInt64 = 7
    let head = (0..<512).map { _ in token(&state) }
    let prompts = (0..<count).map { _ in head + (0..<512).map { _ in token(&state) } }
    hashes(of: head, hasher) { _ in }.withUnsafeBufferPointer {
      let new = AddSequence(sequence: 1, tokens: 512, blockHashes: $0)
      apply(.admit(Admit(sequence: 1, add: new)), to: pool, outcome)
    }
    let sequence: [SequenceID] = [2]
    var bytes = FlatList<UInt8>(minimumCapacity: 64 * 32)
    let nothing = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    return sequence.withUnsafeBufferPointer { ids in
      time(count) {
        for prompt in prompts {
          bytes.removeAll()
          prompt.withUnsafeBufferPointer {
            _ = hasher.hashFullBlocks(after: nil, at: 0, tail: nothing, appended: $0) {
              $0.write(to: bytes.extend(by: 32), 32)
            }
          }
          let new = AddSequence(sequence: 2, tokens: 1_024, blockHashes: bytes.elements)
          apply(.admit(Admit(sequence: 2, add: new)), to: pool, outcome)
          check(outcome.results[0].cachedTokens == 512)
          apply(.freeSequences(ids, ignoresMissing: false), to: pool, outcome)
        }
      }
    }
  }

  private static func hashes(
    of tokens: [UInt32], _ hasher: BlockHasher, emit: (ContentHash) -> Void
  ) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: tokens.count / 16 * 32)
    var at = 0
    let nothing = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    bytes.withUnsafeMutableBytes { bytes in
      tokens.withUnsafeBufferPointer {
        _ = hasher.hashFullBlocks(after: nil, at: 0, tail: nothing, appended: $0) {
          emit($0)
          $0.write(to: bytes.baseAddress! + at, 32)
          at += 32
        }
      }
    }
    return bytes
  }
}
