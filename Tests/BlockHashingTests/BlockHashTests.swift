import BlockHashing
import Testing

/// vLLM's hashes as its own code prints them, and what no vector says.
@Suite("Block hashes") struct BlockHashTests {
  private static let first = "dc918a88b139e5afe60b88eda27508d4aee16c10fdc354791efea06206ac0749"
  private static let second = "c300ec275d7bf08af8fc63e76cdc0086911bbc7091e03c5cf892553bef84ef0c"
  private let hasher: BlockHasher

  init() throws { hasher = try BlockHasher(.sha256CBOR, blockSize: 16) }

  @Test("without a seed the chain begins with vLLM's fixed one")
  func seedHash() {
    #expect(
      hex(hasher.seedHash) == "9bd96a485ad84efdafb72ee48a1d7a69bcead0f8f0433173941b276b9581eef0")
  }

  @Test("tokens 0 to 31 have vLLM's hashes, and the first its number in events")
  func goldenChain() {
    let hashes = hashes(of: Array(0..<32))
    #expect(hashes.map { hex($0) } == [Self.first, Self.second])
    #expect(hashes[0].eventNumber(32) == 2_233_398_808_101_521_225)
  }

  @Test("ids over 65,535 have vLLM's hashes")
  func goldenLargeTokens() {
    #expect(
      hashes(of: Array(100_000..<100_016)).map { hex($0) } == [
        "fec2bda8c8e3928f2b2d7117c2cc3b5332052a9851903c0b5dd41e25819a4e58"
      ])
  }

  @Test("a salt and a LoRA enter the first block as in vLLM")
  func goldenKeys() throws {
    let salted = try ExtraKeys(cacheSalt: "s")
    let adapted = try ExtraKeys(loraName: "L", loraPath: "/p")
    #expect(
      hashes(of: Array(0..<16), salted).map { hex($0) } == [
        "67e9f72522b34138a0f4be0e3a68d9d49b1e50aea0af7762f6170ad7eebbdeaf"
      ])
    #expect(
      hashes(of: Array(0..<16), adapted).map { hex($0) } == [
        "5354dbf8ca4e8d108153f4ba16fbaa40b6a288fd3be5a7cf8ff266a6d13a7942"
      ])
  }

  @Test("keys that are all empty are no keys")
  func emptyKeys() throws {
    #expect(hashes(of: Array(0..<16), try ExtraKeys()).map { hex($0) } == [Self.first])
  }

  @Test("a tenant tells apart the same content, and is not a salt of the same name")
  func tenants() throws {
    let keys = try [
      ExtraKeys(), ExtraKeys(tenant: "a"), ExtraKeys(tenant: "b"), ExtraKeys(cacheSalt: "a"),
      ExtraKeys(cacheSalt: "a", tenant: "a"),
    ]
    let chains = keys.map { hashes(of: Array(0..<32), $0) }
    for block in 0..<2 { #expect(Set(chains.map { $0[block] }).count == keys.count) }
  }

  @Test("fewer tokens than a block have no hash")
  func partialBlock() {
    #expect(hashes(of: Array(0..<15)).isEmpty)
    #expect(hashes(of: Array(0..<31)).count == 1)
    #expect(hashes(of: []).isEmpty)
  }

  @Test("with a lookahead of 3, 18 tokens have no hash and 19 have one", arguments: [18, 19])
  func lookahead(count: UInt32) throws {
    let hasher = try BlockHasher(.sha256CBOR, blockSize: 16, lookahead: 3)
    var chain = GrowingChain()
    var hashed = 0
    tokens(0..<count) { chain.append($0, hasher) { _ in hashed += 1 } }
    #expect(hashed == Int(count) - 18)
    #expect(chain.tail == Array(UInt32(16 * hashed)..<count))
  }

  @Test("XXH3 has no seed of its own")
  func seedNeeded() {
    #expect(throws: BlockHasherError.seedNeeded) { try BlockHasher(.xxhashCBOR, blockSize: 16) }
  }

  @Test("a hash has 32 or 16 bytes and gives them back", arguments: [0, 15, 16, 17, 31, 32, 33])
  func hashBytes(count: Int) {
    let bytes = (0..<count).map { UInt8($0 + 1) }
    let hash = bytes.withUnsafeBytes { ContentHash($0) }
    guard count == 16 || count == 32 else {
      #expect(hash == nil)
      return
    }
    var copy = [UInt8](repeating: 0, count: count)
    copy.withUnsafeMutableBytes { hash?.write(to: $0.baseAddress!, count) }
    #expect(copy == bytes)
  }

  @Test("a client's fault in the keys is named")
  func refusedKeys() {
    func item(_ name: String, _ offset: UInt32, _ length: UInt32) -> MultimodalItem {
      MultimodalItem(identifier: name, offset: offset, length: length)
    }
    #expect(throws: ExtraKeysError.loraPathWithoutName) { try ExtraKeys(loraPath: "/p") }
    #expect(throws: ExtraKeysError.unnamedItem(index: 1)) {
      try ExtraKeys(multimodal: [item("a", 0, 1), item("", 1, 1)])
    }
    #expect(throws: ExtraKeysError.emptyItem(index: 0)) {
      try ExtraKeys(multimodal: [item("a", 0, 0)])
    }
    #expect(throws: ExtraKeysError.itemsOverlap(index: 2)) {
      try ExtraKeys(multimodal: [item("a", 0, 4), item("b", 4, 4), item("c", 7, 1)])
    }
    #expect(throws: ExtraKeysError.promptEmbedsDigestBytes(count: 33)) {
      try ExtraKeys(promptEmbedsDigests: [UInt8](repeating: 0, count: 33))
    }
    #expect(throws: Never.self) {
      try ExtraKeys(multimodal: [item("a", .max - 1, 1), item("b", .max, .max)])
    }
  }

  /// Block by block and item by item, from the rule: an item's key is in each block that it overlaps,
  /// with the tokens ahead.
  @Test("the bytes of keys that blocks hash are known before", arguments: [0, 3])
  func keyBytes(ahead: Int) throws {
    let offsets: [(UInt32, UInt32)] = [(1, 2), (5, 9), (14, 2), (30, 1), (31, 40)]
    let items = offsets.map { MultimodalItem(identifier: "item", offset: $0.0, length: $0.1) }
    let keys = try ExtraKeys(loraName: "name", loraPath: "path", multimodal: items, cacheSalt: "s")
    // CBOR: a head of one byte for the array and for each text.
    let lora = 1 + 5 + 5 + 5
    let item = 1 + 3 + 5
    let salt = 1 + 11 + 2
    for start in stride(from: 0, through: 80, by: 4) {
      for end in stride(from: start, through: 80, by: 4) {
        var expected = start == 0 && end > 0 ? salt : 0
        for block in stride(from: start, to: end, by: 4) {
          expected += lora
          for (offset, length) in offsets
          where Int(offset) < block + 4 + ahead && Int(offset + length) > block {
            expected += item
          }
        }
        let view = ExtraKeysView(UnsafeRawBufferPointer(keys.bytes))
        #expect(
          view.bytesHashed(from: start, to: end, blockSize: 4, lookahead: ahead)
            == UInt64(expected))
      }
    }
    withExtendedLifetime(keys) {}
  }

  // MARK: Tools

  private func hashes(of tokens: [UInt32], _ keys: ExtraKeys? = nil) -> [ContentHash] {
    var chain = GrowingChain()
    var hashes: [ContentHash] = []
    tokens.withUnsafeBufferPointer { chain.append($0, hasher, keys) { hashes.append($0) } }
    return hashes
  }

  private func tokens<R>(
    _ range: Range<UInt32>, _ body: (UnsafeBufferPointer<UInt32>) -> R
  ) -> R {
    Array(range).withUnsafeBufferPointer(body)
  }
}
