import BlockMessages
import TestSupport

/// Few or many numbers, small or large, so that varints of every length occur.
func randomNumbers(_ random: inout SplitMix64) -> [UInt64] {
  let count = random.next() % (random.next() % 8 == 0 ? 300 : 6)
  return (0..<count).map { _ in random.next() >> (random.next() % 64) }
}

func randomStep(_ random: inout SplitMix64) -> StepFields {
  var step = StepFields(
    call: CallFields(
      pool: random.next() % 2 == 0 ? "" : "pool-7", ifRevision: random.next() % 3,
      isDryRun: random.next() % 2 == 0))
  step.onRefusal = OnRefusalValue(rawValue: UInt32(random.next() % 5)) ?? .stop
  step.tokenBudget = UInt32(random.next() % 9_000)
  step.refusesAdmissionAfterPreemption = random.next() % 2 == 0
  step.ackedCopyID = random.next() % 2
  step.wantsStats = random.next() % 2 == 0
  for _ in 0..<(random.next() % 6) {
    step.operations.append(.init(randomOperation(&random), onRefusal: .abort))
  }
  return step
}

func randomOperation(_ random: inout SplitMix64) -> OperationFields {
  let ids = randomNumbers(&random)
  let blocks = ids.map { UInt32(truncatingIfNeeded: $0) }
  let id = random.next() >> (random.next() % 64)
  let small = UInt32(random.next() % 200)
  switch random.next() % 17 {
  case 0: return .allocate(count: small)
  case 1: return .freeBlocks(blocks, generations: blocks)
  case 2: return .forkBlocks(blocks)
  case 3: return .copyOnWrite(block: small, filledTokens: 3)
  case 4: return .ackCopies(ids, upTo: id)
  case 5: return .add(randomAdd(id, small))
  case 6:
    var admit = AdmitFields(sequenceID: id, add: small % 2 == 0 ? randomAdd(id, small) : nil)
    admit.keepsOnRefusal = small % 3 == 0
    admit.maxTokensNow = small
    admit.lookaheadTokens = 2
    admit.allowsPartialFit = small % 5 == 0
    admit.reservedBlocks = small
    admit.delaysCommit = small % 3 == 1
    admit.externalComputedTokens = small % 11
    return .admit(admit)
  case 7:
    var extend = ExtendFields(sequenceID: id, appendTokens: small)
    extend.maxTokensNow = 7
    extend.delaysCommit = small % 2 == 1
    extend.append = randomContent(small)
    return .extend(extend)
  case 8 where small % 7 == 0: return .commit(sequence: id, tokens: small)
  case 8: return .append(sequence: id, tokens: small, content: randomContent(small))
  case 9: return .fork(parent: id, children: ids)
  case 10:
    return .rewind(sequence: id, uncomputeTokens: small, dropTokens: 1, releasesBlocks: true)
  case 11: return .preempt(ids)
  case 12: return .acquire(blockHashes: ids.map { UInt8($0 & 255) }, allocateCount: small)
  case 13: return .cacheBlocks(blocks, blockHashes: ids.map { UInt8($0 & 255) })
  case 14: return .evictBlocks(blocks)
  case 15: return .freeSequences(ids, ignoresMissing: small % 2 == 0)
  default:
    var decode = DecodeFields(sequenceIDs: ids)
    decode.appendCounts = blocks
    decode.lookaheadTokens = [4]
    decode.victimOrder = ids
    decode.tokenIDs = blocks
    decode.delaysCommit = small % 2 == 0
    decode.commitsPrevious = small % 3 == 0
    return .decode(decode)
  }
}

private func randomAdd(_ id: UInt64, _ small: UInt32) -> AddFields {
  var add = AddFields(
    sequenceID: id, tokenCount: small, priority: Int32(small) - 100, expectedTokens: small,
    label: small % 2 == 0 ? "" : "straße ☃")
  add.content = randomContent(small)
  if small % 3 == 0 {
    add.hashing = HashOptionsFields(
      cacheSalt: "salt", loraName: "ö", loraPath: "/p", skipsPrefixLookup: small % 2 == 0)
  }
  return add
}

private func randomContent(_ small: UInt32) -> ContentFields {
  ContentFields(
    tokenIDs: small % 2 == 0 ? [] : [0, small, 1 << 31 - 1],
    blockHashes: small % 5 == 0 ? Array(repeating: 7, count: 32) : [],
    multimodal: small % 4 == 0
      ? [
        .init(identifier: "a", offset: 0, length: small),
        .init(identifier: "b", offset: small, length: 2),
      ] : [],
    promptEmbedsDigest: small % 6 == 0 ? Array(repeating: 9, count: 64) : [])
}
