import BlockHashing
import FoundationEssentials
import Testing

/// Hashes that others made: `Vectors/README.md` says how.
@Suite("Vectors") struct VectorTests {
  private static let names = ["vllm-0.33.0", "random"]

  @Test("blocks have the hashes that others gave them", arguments: names)
  func wholeSequences(name: String) throws {
    let cases = try Case.read(name)
    #expect(cases.count == (name == "random" ? 80 : 42))
    for item in cases {
      let hasher = try item.hasher()
      #expect(hex(hasher.seedHash, item.byteCount) == item.seedHash, "\(item.name)")
      #expect(try item.hashes(hasher, inPiecesOf: item.tokens.count) == item.hashes, "\(item.name)")
    }
  }

  @Test(
    "tokens that come a few at a time give the same hashes", arguments: names, [1, 2, 7, 16, 33])
  func growingSequences(name: String, piece: Int) throws {
    for item in try Case.read(name) {
      let hasher = try item.hasher()
      #expect(try item.hashes(hasher, inPiecesOf: piece) == item.hashes, "\(item.name)")
    }
  }

  @Test("a fork's hashes are those of a sequence that was never forked", arguments: names)
  func forks(name: String) throws {
    for item in try Case.read(name) {
      let hasher = try item.hasher()
      let keys = try item.extraKeys()
      var parent = GrowingChain()
      item.tokens.prefix(20).withUnsafeBufferPointer { parent.append($0, hasher, keys) { _ in } }
      var child = parent
      [1, 2, 3].withUnsafeBufferPointer { parent.append($0, hasher, keys) { _ in } }
      var hashes = item.hashes.prefix(child.blocks)
      item.tokens.dropFirst(20).withUnsafeBufferPointer {
        child.append($0, hasher, keys) { hashes.append(hex($0, item.byteCount)) }
      }
      #expect(Array(hashes) == item.hashes, "\(item.name)")
      #expect(child.tail == Array(item.tokens.dropFirst(child.blocks * item.blockSize)))
    }
  }
}

/// One line of a file of vectors.
private struct Case: Decodable {
  struct Item: Decodable {
    var identifier: String
    var offset: UInt32
    var length: UInt32
  }

  var name: String
  var algorithm: String
  var seed: String?
  var blockSize: Int
  var lookahead: Int?
  var tokens: [UInt32]
  var loraName: String?
  var loraPath: String?
  var multimodal: [Item]?
  var cacheSalt: String?
  var promptEmbedsDigests: String?
  var tenant: String?
  var seedHash: String
  var hashes: [String]

  enum CodingKeys: String, CodingKey {
    case name, algorithm, seed, lookahead, tokens, multimodal, tenant, hashes
    case blockSize = "block_size"
    case loraName = "lora_name"
    case loraPath = "lora_path"
    case cacheSalt = "cache_salt"
    case promptEmbedsDigests = "prompt_embeds_digests"
    case seedHash = "seed_hash"
  }

  static func read(_ name: String) throws -> [Case] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent()
    let data = try Data(contentsOf: folder.appending(path: "Vectors/\(name).jsonl"))
    return try data.split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode(Case.self, from: Data($0))
    }
  }

  var byteCount: Int { algorithm == "sha256_cbor" ? 32 : 16 }

  func hasher() throws -> BlockHasher {
    try BlockHasher(
      algorithm == "sha256_cbor" ? .sha256CBOR : .xxhashCBOR, seed: seed, blockSize: blockSize,
      lookahead: lookahead ?? 0)
  }

  func extraKeys() throws -> ExtraKeys {
    let items = (multimodal ?? []).map {
      MultimodalItem(identifier: $0.identifier, offset: $0.offset, length: $0.length)
    }
    return try ExtraKeys(
      loraName: loraName ?? "", loraPath: loraPath ?? "", multimodal: items,
      cacheSalt: cacheSalt ?? "", promptEmbedsDigests: promptEmbedsDigests.map(bytes),
      tenant: tenant ?? "")
  }

  func hashes(_ hasher: BlockHasher, inPiecesOf piece: Int) throws -> [String] {
    let keys = try extraKeys()
    var chain = GrowingChain()
    var hashes: [String] = []
    for start in stride(from: 0, to: tokens.count, by: max(piece, 1)) {
      tokens[start..<min(start + piece, tokens.count)].withUnsafeBufferPointer {
        chain.append($0, hasher, keys) { hashes.append(hex($0, byteCount)) }
      }
    }
    return hashes
  }
}
