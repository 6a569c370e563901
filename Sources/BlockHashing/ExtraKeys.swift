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
/// The texts are encoded when the keys are made; a block then only copies bytes.
package final class ExtraKeys {
  private let memory: UnsafeMutableBufferPointer<UInt8>

  /// The keys as bytes, to be kept elsewhere and given to the hasher again; see `ExtraKeysView`.
  /// Borrowed from the keys.
  package var bytes: UnsafeBufferPointer<UInt8> { .init(memory) }

  var view: ExtraKeysView { ExtraKeysView(UnsafeRawBufferPointer(memory)) }

  /// - Parameters:
  ///   - multimodal: In order of their offsets, none overlapping another.
  ///   - promptEmbedsDigests: n x 32 bytes, for each block the SHA-256 of its rows of the prompt
  ///     embeddings (with lookahead: its rows and those of the tokens ahead); nil = no embeddings.
  package init(
    loraName: String = "", loraPath: String = "", multimodal: [MultimodalItem] = [],
    cacheSalt: String = "", promptEmbedsDigests: [UInt8]? = nil, tenant: String = ""
  ) throws(ExtraKeysError) {
    guard !loraName.isEmpty || loraPath.isEmpty else { throw .loraPathWithoutName }
    if let digests = promptEmbedsDigests, digests.count % ExtraKeysView.digestBytes != 0 {
      throw .promptEmbedsDigestBytes(count: digests.count)
    }
    var end = 0
    for (index, item) in multimodal.enumerated() {
      guard !item.identifier.isEmpty else { throw .unnamedItem(index: index) }
      guard item.length > 0 else { throw .emptyItem(index: index) }
      guard Int(item.offset) >= end else { throw .itemsOverlap(index: index) }
      end = item.end
    }
    var parts = ExtraKeysView.Parts()
    parts.lora = loraName.isEmpty ? [] : Self.encode(["lora", loraName, loraPath])
    parts.salt = cacheSalt.isEmpty ? [] : Self.encode(["cache_salt", cacheSalt])
    parts.tenant = tenant.isEmpty ? [] : Self.encode(["quire_tenant", tenant])
    parts.items = multimodal.map {
      .init(
        offset: $0.offset, length: $0.length, key: Self.encode(["mm", $0.identifier], elements: 3))
    }
    parts.digests = promptEmbedsDigests
    let bytes = parts.bytes
    memory = .allocate(capacity: bytes.count)
    _ = memory.initialize(from: bytes)
  }

  deinit { memory.deallocate() }

  /// The head of an array of `elements` and the texts it begins with.
  private static func encode(_ texts: [String], elements: Int? = nil) -> [UInt8] {
    var buffer = CBORBuffer()
    buffer.reset(
      reserving: texts.reduce(CBORBuffer.headBytes) { $0 + CBORBuffer.headBytes + $1.utf8.count })
    buffer.head(.array, UInt32(elements ?? texts.count))
    for text in texts { buffer.text(text) }
    return Array(buffer.bytes)
  }
}
