import KVBlocks

/// The rows that `peers/vllm_block_manager.py` measures of vLLM's classes as well: the same work, a
/// line each, name and nanoseconds. `BlockPoolBenchmark --rows` measures each once, so that the
/// script can take turns.
extension BlockPoolBenchmark {
  static func printRows() {
    print("allocate-1", poolAlone(1, false, 500_000))
    print("allocate-64", poolAlone(64, true, 30_000))
    print("decode-hashes", decodeWithHashes(steps: 500))
    print("decode-tokens", decodeWithTokens(steps: 500, phases: 16))
    print("prompt-hashes", prompts(2_000))
    print("prompt-tokens", promptsOfTokens(500))
  }

  /// Ids of a vocabulary of 128,000, in no order.
  static func token(_ state: inout UInt64) -> UInt32 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return UInt32((state >> 33) % 128_000)
  }

  /// A prompt of 1,024 tokens of which the first half is cached: hashed, looked up, admitted, freed.
  static func promptsOfTokens(_ count: Int) -> Double {
    let pool = hashingPool()
    let outcome = Outcome()
    var state: UInt64 = 7
    let head = (0..<512).map { _ in token(&state) }
    let prompts = (0..<count).map { _ in head + (0..<512).map { _ in token(&state) } }
    head.withUnsafeBufferPointer {
      let new = AddSequence(sequence: 1, tokens: 512, tokenIDs: $0)
      apply(.admit(Admit(sequence: 1, add: new)), to: pool, outcome)
    }
    let sequence: [SequenceID] = [2]
    return sequence.withUnsafeBufferPointer { ids in
      time(count) {
        for prompt in prompts {
          prompt.withUnsafeBufferPointer {
            let new = AddSequence(sequence: 2, tokens: 1_024, tokenIDs: $0)
            apply(.admit(Admit(sequence: 2, add: new)), to: pool, outcome)
          }
          check(outcome.results[0].cachedTokens == 512)
          apply(.freeSequences(ids, ignoresMissing: false), to: pool, outcome)
        }
      }
    }
  }
}
