import BlockMessages
import TestSupport
import Testing

/// Bytes worked out by hand from the protobuf encoding, and round trips through protobuf-c, which is
/// the other encoder and the oracle.
@Suite("Packing")
struct MessagePackerTests {
  @Test("an allocate request is the bytes of the specification")
  func allocateRequest() {
    var packer = MessagePacker(capacity: 1)
    packer.request(.allocate(count: 300), call: CallFields(pool: "a", ifRevision: 5))
    // call { pool "a", if_revision 5 }, allocate { count 300 = 0xAC 0x02 }
    #expect(
      Array(packer.bytes) == [
        0x0A, 5, 0x0A, 1, 0x61, 0x28, 5,
        0x12, 3, 0x08, 0xAC, 0x02,
      ])
  }

  @Test("values of 0 are left out, an empty message stays")
  func defaults() {
    var packer = MessagePacker()
    packer.request(.allocate(count: 0))
    #expect(Array(packer.bytes) == [0x0A, 0, 0x12, 0])
  }

  @Test("varints have the length that their value needs")
  func varints() {
    let cases: [(UInt64, [UInt8])] = [
      (1, [1]), (127, [0x7F]), (128, [0x80, 1]), (16_383, [0xFF, 0x7F]),
      (16_384, [0x80, 0x80, 1]),
      (.max, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]),
    ]
    for (value, bytes) in cases {
      var packer = MessagePacker()
      packer.uint64(1, value)
      #expect(Array(packer.bytes) == [0x08] + bytes)
    }
  }

  @Test("signed numbers zigzag")
  func zigzag() {
    var packer = MessagePacker()
    packer.sint32(1, -1)
    #expect(Array(packer.bytes) == [0x08, 1])
    packer.reset()
    packer.sint32(1, .min)
    #expect(Array(packer.bytes) == [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F])
  }

  @Test("fixed numbers lie in little-endian order")
  func fixed() {
    var packer = MessagePacker()
    packer.fixed64(2, 0x0102_0304_0506_0708)
    #expect(Array(packer.bytes) == [0x11, 8, 7, 6, 5, 4, 3, 2, 1])
  }

  @Test("replies are what protobuf-c packs from them", arguments: [1, 2, 3, 4] as [UInt64])
  func oracle(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var packer = MessagePacker(capacity: 16)
    for _ in 0..<500 {
      packer.reset()
      let kind = randomReply(&packer, &random)
      let bytes = Array(packer.bytes)
      let again = bytes.withUnsafeBytes { MessageOracle.repack($0, as: kind) }
      #expect(again == bytes)
    }
  }

  @Test("requests are what protobuf-c packs from them", arguments: [5, 6, 7, 8] as [UInt64])
  func requestOracle(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var packer = MessagePacker(capacity: 16)
    for _ in 0..<300 {
      packer.reset()
      packer.stepRequest(randomStep(&random))
      let bytes = Array(packer.bytes)
      let again = bytes.withUnsafeBytes { MessageOracle.repack($0, as: .stepRequest) }
      #expect(again == bytes)
    }
  }
}

private func randomReply(_ packer: inout MessagePacker, _ random: inout SplitMix64) -> MessageKind {
  let ids = randomNumbers(&random).map { UInt32(truncatingIfNeeded: $0) }
  switch random.next() % 4 {
  case 0:
    let (revision, available) = (random.next() >> 20, UInt32(random.next() % 5))
    ids.withUnsafeBufferPointer {
      packer.allocateReply(revision: revision, blockIDs: $0, availableBlocks: available)
    }
    return .allocateReply
  case 1:
    packer.freeReply(
      revision: random.next(), freedBlocks: UInt32(random.next() % 300), availableBlocks: 0)
    return .freeReply
  case 2:
    packer.stats(randomStats(&random))
    return .stats
  default:
    randomStepReply(&packer, &random, ids)
    return .stepReply
  }
}

private func randomStepReply(
  _ packer: inout MessagePacker, _ random: inout SplitMix64, _ ids: [UInt32]
) {
  let sequences = randomNumbers(&random)
  if random.next() % 2 == 0 {
    let mark = packer.mark
    packer.stats(randomStats(&random))
    packer.close(MessagePacker.stepStatsField, since: mark)
  }
  packer.stepReplyTail(availableBlocks: UInt32(random.next() % 1_000))
  let order = CopyOrderFields(
    copyID: 1, sourceBlock: 2, targetBlock: 300, tokens: 4, sequenceID: 1 << 40, tableIndex: 6)
  let refusal = RefusalFields(
    reason: 1, field: "allocate.count", detail: "too much", needed: 3, available: 2,
    evictableWithinAvailable: 1, watermark: 300, sequenceID: 9)
  for _ in 0..<(random.next() % 4) {
    let mark = packer.mark
    let body = packer.mark
    ids.withUnsafeBufferPointer {
      packer.decodeResultAfterCopies(
        evictedBlocks: UInt32(random.next() % 300), nullPrefixBlocks: $0)
    }
    packer.copyOrder(MessagePacker.decodeCopiesField, order)
    ids.withUnsafeBufferPointer { ids in
      sequences.withUnsafeBufferPointer { sequences in
        packer.decodeResultBeforeCopies(
          newBlockCounts: ids, newBlockIDs: ids, refused: ids, firstRefusal: refusal,
          preemptedSequenceIDs: sequences)
      }
    }
    packer.closeOperationReply(.decode, since: body)
    packer.closeStepResult(since: mark)
  }
  let mark = packer.mark
  packer.operationRefusal(refusal)
  packer.closeStepResult(since: mark)
  packer.stepReplyHead(revision: random.next() >> 8, refusal: nil)
}

private func randomStats(_ random: inout SplitMix64) -> StatsFields {
  var stats = StatsFields()
  stats.pool = "default"
  stats.revision = random.next() >> 30
  stats.capacityBlocks = UInt32(random.next() % 5_000)
  stats.freeBlocks = stats.capacityBlocks
  stats.allocateCalls = random.next()
  stats.evictions = random.next() >> 20
  stats.prefixQueryTokens = random.next() >> 8
  stats.prefixHitTokens = random.next() >> 9
  stats.refusals = [0, random.next() % 2, 0, 7]
  stats.freeRuns = FreeRunsFields(count: 3, largest: 200, tenLargest: [200, 9, 1])
  stats.externalFragmentation = Double(random.next() % 100) / 100
  return stats
}
