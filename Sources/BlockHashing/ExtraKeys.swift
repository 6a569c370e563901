/// An image, a sound: tokens of the prompt stand in its place, so its name enters the hash.
package struct MultimodalItem: Sendable {
  /// Hash or name of the content; not empty.
  package var identifier: String
  /// Tokens before the item.
  package var offset: UInt32
  /// Tokens of the item; at least one.
  package var length: UInt32

  package init(identifier: String, offset: UInt32, length: UInt32) {
    self.identifier = identifier
    self.offset = offset
    self.length = length
  }

  fileprivate var end: Int { Int(offset) + Int(length) }
}

/// Why extra keys are not accepted. The index is that of the first item at fault.
package enum ExtraKeysError: Error, Equatable {
  case loraPathWithoutName
  case unnamedItem(index: Int)
  case emptyItem(index: Int)
  /// The item begins before the one before it ends.
  case itemsOverlap(index: Int)
  /// Digests have 32 bytes each.
  case promptEmbedsDigestBytes(count: Int)
}

/// What tells apart blocks of equal tokens: vLLM's extra keys of a request
/// (`generate_block_hash_extra_keys`), and a tenant. Made once a sequence; immutable.
///
/// Keys of a block, in this order, each an array that begins with its name:
///
///     ["lora", name, path]                  every block
///     ["mm", identifier, offset]            items that overlap the block, from the block's start
///     ["cache_salt", salt]                  block 0; its hash is in all that follow
///     ["prompt_embeds", digest]             every block
///     ["quire_tenant", tenant]              block 0; not in vLLM
///
/// Without any of them the block's keys are null. An empty text counts as absent, so without a
/// tenant the hashes are vLLM's.
///
/// The texts are encoded when the keys are made; a block then only copies bytes. Finding a block's
/// items takes O(log items).
package final class ExtraKeys {
  private struct Item {
    var offset: Int
    var end: Int
    /// Of `encoded`: the key up to its offset.
    var bytes: Range<Int>
  }

  private let encoded: [UInt8]
  private let lora: Range<Int>
  private let salt: Range<Int>
  private let tenant: Range<Int>
  private let items: [Item]
  private let digests: [UInt8]?

  /// SHA-256 of nothing: vLLM hashes an empty slice for blocks behind the embeddings.
  private static let emptyDigest = [UInt8](
    arrayLiteral: 0xE3, 0xB0, 0xC4, 0x42, 0x98, 0xFC, 0x1C, 0x14, 0x9A, 0xFB, 0xF4, 0xC8, 0x99,
    0x6F,
    0xB9, 0x24, 0x27, 0xAE, 0x41, 0xE4, 0x64, 0x9B, 0x93, 0x4C, 0xA4, 0x95, 0x99, 0x1B, 0x78, 0x52,
    0xB8, 0x55)
  private static let promptEmbeds: [UInt8] = [0x82, 0x6D] + Array("prompt_embeds".utf8)
  private static let digestBytes = 32

  /// - Parameters:
  ///   - multimodal: In order of their offsets, none overlapping another.
  ///   - promptEmbedsDigests: n x 32 bytes, for each block the SHA-256 of its rows of the prompt
  ///     embeddings (with lookahead: its rows and those of the tokens ahead); nil = no embeddings.
  package init(
    loraName: String = "", loraPath: String = "", multimodal: [MultimodalItem] = [],
    cacheSalt: String = "", promptEmbedsDigests: [UInt8]? = nil, tenant: String = ""
  ) throws(ExtraKeysError) {
    guard !loraName.isEmpty || loraPath.isEmpty else { throw .loraPathWithoutName }
    if let digests = promptEmbedsDigests, digests.count % Self.digestBytes != 0 {
      throw .promptEmbedsDigestBytes(count: digests.count)
    }
    var end = 0
    for (index, item) in multimodal.enumerated() {
      guard !item.identifier.isEmpty else { throw .unnamedItem(index: index) }
      guard item.length > 0 else { throw .emptyItem(index: index) }
      guard Int(item.offset) >= end else { throw .itemsOverlap(index: index) }
      end = item.end
    }

    var encoded: [UInt8] = []
    lora = loraName.isEmpty ? 0..<0 : Self.append(["lora", loraName, loraPath], to: &encoded)
    salt = cacheSalt.isEmpty ? 0..<0 : Self.append(["cache_salt", cacheSalt], to: &encoded)
    self.tenant = tenant.isEmpty ? 0..<0 : Self.append(["quire_tenant", tenant], to: &encoded)
    items = multimodal.map {
      let bytes = Self.append(["mm", $0.identifier], elements: 3, to: &encoded)
      return Item(offset: Int($0.offset), end: $0.end, bytes: bytes)
    }
    self.encoded = encoded
    digests = promptEmbedsDigests
  }

  /// Appends the head of an array of `elements` and the texts it begins with; returns where.
  private static func append(
    _ texts: [String], elements: Int? = nil, to encoded: inout [UInt8]
  ) -> Range<Int> {
    let start = encoded.count
    var buffer = CBORBuffer()
    buffer.reset(
      reserving: texts.reduce(CBORBuffer.headBytes) { $0 + CBORBuffer.headBytes + $1.utf8.count })
    buffer.head(.array, UInt32(elements ?? texts.count))
    for text in texts { buffer.text(text) }
    encoded.append(contentsOf: buffer.bytes)
    return start..<encoded.count
  }

  /// More bytes than the keys of any one block.
  var maximumBytes: Int {
    encoded.count + CBORBuffer.headBytes * (items.count + 2) + Self.promptEmbeds.count
      + Self.digestBytes
  }

  /// Writes the keys of the block of the tokens `start..<end`, which is the `index`-th.
  func write(to buffer: inout CBORBuffer, block index: Int, _ start: Int, _ end: Int) {
    let first = firstItem(endingAfter: start)
    var last = first
    while last < items.count, items[last].offset < end { last += 1 }
    let isFirstBlock = start == 0
    let count =
      (lora.isEmpty ? 0 : 1) + (last - first) + (isFirstBlock && !salt.isEmpty ? 1 : 0)
      + (digests == nil ? 0 : 1) + (isFirstBlock && !tenant.isEmpty ? 1 : 0)
    guard count > 0 else {
      buffer.null()
      return
    }
    buffer.head(.array, UInt64(count))
    put(lora, to: &buffer)
    for i in first..<last {
      put(items[i].bytes, to: &buffer)
      buffer.integer(Int64(items[i].offset - start))
    }
    if isFirstBlock { put(salt, to: &buffer) }
    if let digests { putDigest(digests, index, to: &buffer) }
    if isFirstBlock { put(tenant, to: &buffer) }
  }

  private func firstItem(endingAfter start: Int) -> Int {
    var low = 0
    var high = items.count
    while low < high {
      let middle = (low + high) / 2
      if items[middle].end <= start { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func put(_ range: Range<Int>, to buffer: inout CBORBuffer) {
    encoded.withUnsafeBytes { buffer.raw(.init(rebasing: $0[range])) }
  }

  private func putDigest(_ digests: [UInt8], _ index: Int, to buffer: inout CBORBuffer) {
    Self.promptEmbeds.withUnsafeBytes { buffer.raw($0) }
    let start = index * Self.digestBytes
    if start < digests.count {
      digests.withUnsafeBytes {
        buffer.byteString(.init(rebasing: $0[start..<start + Self.digestBytes]))
      }
    } else {
      Self.emptyDigest.withUnsafeBytes { buffer.byteString($0) }
    }
  }
}
