import KVBlocks
import Testing

/// Geometries as the models' own configurations have them, in 16 bits.
@Suite("blocks have bytes")
struct KVMemoryTests {
  static let gib: UInt64 = 1 << 30
  let llama7B = KVGeometry(layers: 32, kvHeads: 32, headSize: 128, dtypeBytes: 2)
  let llama13B = KVGeometry(layers: 40, kvHeads: 40, headSize: 128, dtypeBytes: 2)

  @Test("16 tokens of Llama-2-7B are 8 MiB, of 13B 12.5 MiB")
  func bytesPerBlock() {
    #expect(llama7B.bytesPerBlock(16) == 8_388_608)
    #expect(llama13B.bytesPerBlock(16) == 13_107_200)
    #expect(llama7B.bytesPerBlock(1) == 524_288)
  }

  @Test("60 GiB are 7,680 blocks of 8 MiB, and 6,912 at the usual 0.9")
  func blocks() {
    #expect(
      KVGeometry.blocks(in: 60 * Self.gib, utilization: 1, bytesPerBlock: 8_388_608) == 7_680)
    #expect(
      KVGeometry.blocks(in: 60 * Self.gib, utilization: 0.9, bytesPerBlock: 8_388_608) == 6_912)
    // 60 GB, in tens: 7,152.56 blocks.
    #expect(
      KVGeometry.blocks(in: 60_000_000_000, utilization: 1, bytesPerBlock: 8_388_608) == 7_152)
  }

  @Test("45 to 50 GiB are 3,686 to 4,096 blocks of 13B")
  func blocks13B() {
    #expect(
      KVGeometry.blocks(in: 45 * Self.gib, utilization: 1, bytesPerBlock: 13_107_200) == 3_686)
    #expect(
      KVGeometry.blocks(in: 50 * Self.gib, utilization: 1, bytesPerBlock: 13_107_200) == 4_096)
  }

  @Test("a block less a byte is no block")
  func edges() {
    #expect(KVGeometry.blocks(in: 99, utilization: 1, bytesPerBlock: 100) == 0)
    #expect(KVGeometry.blocks(in: 100, utilization: 1, bytesPerBlock: 100) == 1)
    #expect(KVGeometry.blocks(in: 1 << 53, utilization: 1, bytesPerBlock: 1) == 1 << 53)
    #expect(KVGeometry.blocks(in: 1 << 53, utilization: 1e-20, bytesPerBlock: 1) == 0)
  }

  @Test("factors whose product is out of all bounds have no size")
  func overflow() {
    let most = UInt32.max
    #expect(
      KVGeometry(layers: most, kvHeads: most, headSize: most, dtypeBytes: most)
        .bytesPerBlock(65_536) == nil)
    #expect(
      KVGeometry(layers: 1 << 26, kvHeads: 1 << 26, headSize: 1, dtypeBytes: 1)
        .bytesPerBlock(1) == 1 << 53)
    #expect(
      KVGeometry(layers: 1 << 26, kvHeads: 1 << 26, headSize: 1, dtypeBytes: 1)
        .bytesPerBlock(2) == nil)
    #expect(
      KVGeometry(layers: 0, kvHeads: 1, headSize: 1, dtypeBytes: 1).bytesPerBlock(1) == nil)
  }

  @Test("block 3 of 8 MiB ends 32 MiB behind the beginning: the null block is the first")
  func offsets() {
    let configuration = PoolConfiguration(blocks: 3, blockSize: 16, geometry: llama7B)
    #expect(configuration.bytesPerBlock * 4 == configuration.bufferBytes)
    #expect(configuration.bufferBytes == 33_554_432)
    #expect(configuration.capacityBytes == 25_165_824)
    let none = PoolConfiguration(blocks: 3, blockSize: 16)
    #expect(none.bytesPerBlock == 0)
    #expect(none.bufferBytes == 0)
  }

  @Test("a dump knows the geometry and the bytes that were asked for")
  func dumped() {
    let pool = KVPool(
      PoolConfiguration(
        blocks: 6_912, blockSize: 16, geometry: llama7B,
        budget: KVBudget(bytes: 60 * Self.gib, utilization: 0.9)))
    #expect(reloaded(pool)?.configuration == pool.configuration)
  }
}
