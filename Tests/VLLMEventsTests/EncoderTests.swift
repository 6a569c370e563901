import BlockService
import KVBlocks
import Testing

@testable import VLLMEvents

/// The bytes of batches, worked out by hand from the MessagePack specification and vLLM's classes: an
/// array of the time, the events and the rank; events are maps, `type` first, then the fields in the
/// order of the class, without those that have their default. (The map of `BlockStored` has the form for 16
/// and more: the class has 15 fields and its type, and msgspec leaves some out only afterwards.)
@Suite("events in vLLM's form")
struct EncoderTests {
  /// 32 bytes of which the last eight are 0, 1, 2 ... 6 and this one.
  private static func hash(_ last: UInt8) -> [UInt8] {
    [UInt8](repeating: 0xEE, count: 24) + [0, 1, 2, 3, 4, 5, 6, last]
  }
  /// 1.5 as a double.
  private static let time: [UInt8] = [0xCB, 0x3F, 0xF8, 0, 0, 0, 0, 0, 0]
  /// A string of less than 32 bytes.
  private static func text(_ string: String) -> [UInt8] {
    [0xA0 | UInt8(string.utf8.count)] + Array(string.utf8)
  }
  /// A number of 64 bits: the last eight bytes of `hash`.
  private static func number(_ last: UInt8) -> [UInt8] { [0xCF, 0, 1, 2, 3, 4, 5, 6, last] }

  private final class Pool {
    let pool: KVPool
    let log: ChangeLog
    private let outcome = Outcome()

    init(blocks: UInt32 = 8) {
      pool = KVPool(PoolConfiguration(blocks: blocks, blockSize: 4, cachesPrefixes: true))
      log = pool.attachChangeLog()
    }

    func run(_ kind: Operation.Kind) {
      let operations = [Operation(kind)]
      operations.withUnsafeBufferPointer {
        pool.apply(Command(session: 0, operations: $0), into: outcome)
      }
      #expect(outcome.refusal.reason == .none && outcome.results[0].refusal.reason == .none)
    }

    func allocate(_ count: UInt32) { run(.allocate(count: count)) }

    func cache(_ blocks: [BlockID], _ hashes: [UInt8], after parent: [UInt8] = []) {
      blocks.withUnsafeBufferPointer { blocks in
        hashes.withUnsafeBufferPointer { hashes in
          parent.withUnsafeBufferPointer {
            run(.cacheBlocks(blocks, blockHashes: hashes, parentHash: $0))
          }
        }
      }
    }

    func evict(_ blocks: [BlockID]) {
      blocks.withUnsafeBufferPointer { run(.evictBlocks($0)) }
    }

    func batches(_ form: VLLMHashForm = .int, rank: UInt64 = 0, largest: Int = .max) -> [[UInt8]] {
      var batches: [[UInt8]] = []
      VLLMEventEncoder(rank: rank, form: form)
        .encode(log, of: pool, seconds: 1.5, largest: largest) { batches.append(Array($0)) }
      return batches
    }
  }

  @Test("blocks that were stored, after a parent and at the start")
  func stored() {
    let pool = Pool()
    pool.allocate(3)
    #expect(pool.batches() == [])
    pool.cache([1, 2], Self.hash(7) + Self.hash(8), after: Self.hash(6))
    func event(_ hashes: [UInt8], _ parent: [UInt8]) -> [UInt8] {
      [0xDE, 0x00, 0x08] + Self.text("type") + Self.text("BlockStored")
        + Self.text("block_hashes") + hashes
        + Self.text("parent_block_hash") + parent
        + Self.text("token_ids") + [0x90]
        + Self.text("block_size") + [0x04]
        + Self.text("lora_id") + [0xC0]
        + Self.text("medium") + Self.text("GPU")
        + Self.text("lora_name") + [0xC0]
    }
    let both = event([0x92] + Self.number(7) + Self.number(8), Self.number(6))
    #expect(pool.batches() == [[0x93] + Self.time + [0x91] + both + [0x00]])

    pool.cache([3], Self.hash(9))
    let one = event([0x91] + Self.number(9), [0xC0])
    #expect(pool.batches(rank: 3) == [[0x93] + Self.time + [0x91] + one + [0x03]])
    // 32 bytes, in a binary of up to 255.
    let bytes = event([0x91, 0xC4, 32] + Self.hash(9), [0xC0])
    #expect(pool.batches(.bytes) == [[0x93] + Self.time + [0x91] + bytes + [0x00]])
  }

  @Test("what another block has already is not told again")
  func copies() {
    let pool = Pool()
    pool.allocate(5)
    pool.cache([1], Self.hash(8))
    pool.cache([2, 3, 4], Self.hash(7) + Self.hash(8) + Self.hash(9))
    func event(_ hash: [UInt8], _ parent: [UInt8]) -> [UInt8] {
      [0xDE, 0x00, 0x08] + Self.text("type") + Self.text("BlockStored")
        + Self.text("block_hashes") + [0x91] + hash
        + Self.text("parent_block_hash") + parent
        + Self.text("token_ids") + [0x90] + Self.text("block_size") + [0x04]
        + Self.text("lora_id") + [0xC0] + Self.text("medium") + Self.text("GPU")
        + Self.text("lora_name") + [0xC0]
    }
    let events = event(Self.number(7), [0xC0]) + event(Self.number(9), Self.number(8))
    #expect(pool.batches() == [[0x93] + Self.time + [0x92] + events + [0x00]])
    pool.cache([5], Self.hash(7))
    #expect(pool.batches() == [])
  }

  @Test("an event for each block that was removed, and none while another block has the same")
  func removed() {
    let pool = Pool()
    pool.allocate(3)
    pool.cache([1, 2], Self.hash(7) + Self.hash(8))
    pool.cache([3], Self.hash(7))
    func event(_ last: UInt8) -> [UInt8] {
      [0x83] + Self.text("type") + Self.text("BlockRemoved")
        + Self.text("block_hashes") + [0x91] + Self.number(last)
        + Self.text("medium") + Self.text("GPU")
    }
    pool.evict([1])
    #expect(pool.batches() == [])
    pool.evict([2, 3])
    let batch = [0x93] + Self.time + [0x92] + event(8) + event(7) + [0x00]
    #expect(pool.batches() == [batch])
    // What is too much for one batch is in several.
    #expect(
      pool.batches(largest: 1) == [
        [0x93] + Self.time + [0x91] + event(8) + [0x00],
        [0x93] + Self.time + [0x91] + event(7) + [0x00],
      ])
  }

  @Test("what one call stores is in several batches where it is much")
  func muchIsStored() {
    let pool = Pool(blocks: 40_000)
    pool.allocate(40_000)
    let hashes = (1...UInt32(40_000)).flatMap { number in
      (0..<8).flatMap { _ in withUnsafeBytes(of: number.bigEndian) { Array($0) } }
    }
    pool.cache(Array(1...40_000), hashes)
    // Events of 4,096 blocks have 34 bytes for each: two of them are past 256 KiB. Nine, and one of
    // 3,136 blocks.
    let batches = pool.batches(.bytes, largest: 256 << 10)
    #expect(batches.map { $0[10] } == [0x92, 0x92, 0x92, 0x92, 0x92])
    #expect(batches.allSatisfy { $0.count < 280_000 })
    // So the smallest memory for replay takes them.
    let kept = KeptBatches(bytes: 1 << 20, batches: 100)
    for batch in batches { batch.withUnsafeBytes { kept.append($0) } }
    #expect(kept.next == 5)
  }

  @Test("a reset as one event, byte for byte as vLLM sends it")
  func cleared() {
    let pool = Pool()
    pool.allocate(1)
    pool.cache([1], Self.hash(7))
    let ids: [BlockID] = [1]
    ids.withUnsafeBufferPointer {
      pool.run(.freeBlocks($0, generations: .init(start: nil, count: 0)))
    }
    pool.run(.resetPrefixCache(preemptsRunning: false))
    // Taken from a vLLM server: time 1.5, rank 0.
    let hex = "93cb3ff80000000000009181a474797065b0416c6c426c6f636b73436c656172656400"
    let bytes = stride(from: 0, to: hex.count, by: 2).map { i in
      UInt8(hex.dropFirst(i).prefix(2), radix: 16) ?? 0
    }
    #expect(pool.batches() == [bytes])
  }
}
