internal import CQuireProtos

// sequences.proto: what sequences hold, as views.

/// `Content`; an absent one reads as empty.
package struct ContentMessage {
  private let m: UnsafePointer<Quire__V1__Content>?
  init(_ m: UnsafePointer<Quire__V1__Content>?) { self.m = m }

  package var tokenIDs: UnsafeBufferPointer<UInt32> {
    guard let m else { return .init(start: nil, count: 0) }
    return list(m.pointee.token_ids, m.pointee.n_token_ids)
  }
  /// One hash after the other, in prefix order.
  package var blockHashes: UnsafeBufferPointer<UInt8> {
    guard let m else { return .init(start: nil, count: 0) }
    return text(m.pointee.block_hashes)
  }
  /// As the message says, or as many as there are ids.
  package var tokens: UInt32 {
    guard let m else { return 0 }
    return m.pointee.token_count == 0
      ? UInt32(clamping: m.pointee.n_token_ids) : m.pointee.token_count
  }
  /// n x 32 bytes.
  package var promptEmbedsDigest: UnsafeBufferPointer<UInt8> {
    guard let m else { return .init(start: nil, count: 0) }
    return text(m.pointee.prompt_embeds_digest)
  }

  package var itemCount: Int { m?.pointee.n_multimodal ?? 0 }
  /// UTF-8 name, tokens before the item, its tokens.
  package func item(_ index: Int) -> MultimodalItemFields {
    precondition(index >= 0 && index < itemCount, "an item outside its content")
    // protobuf-c leaves no gaps in a list of messages.
    let item = m!.pointee.multimodal[index]!.pointee
    return MultimodalItemFields(
      identifier: String(decoding: text(item.identifier), as: UTF8.self), offset: item.offset,
      length: item.length)
  }
}

/// The values of a `MultimodalItem`.
package struct MultimodalItemFields: Equatable, Sendable {
  package var identifier: String
  package var offset: UInt32
  package var length: UInt32

  package init(identifier: String, offset: UInt32, length: UInt32) {
    self.identifier = identifier
    self.offset = offset
    self.length = length
  }
}

/// The values of a `Retention`.
package struct RetentionFields: Equatable, Sendable {
  package var firstToken: UInt32
  package var lastToken: UInt32
  package var priority: UInt32
  /// Milliseconds.
  package var timeToLive: UInt64
}

/// `SequenceOptions`; absent ones read as the defaults. Texts are UTF-8.
package struct OptionsMessage {
  private let m: UnsafePointer<Quire__V1__SequenceOptions>?
  init(_ m: UnsafePointer<Quire__V1__SequenceOptions>?) { self.m = m }

  package var cacheSalt: UnsafeBufferPointer<UInt8> { bytes { $0.cache_salt } }
  package var loraName: UnsafeBufferPointer<UInt8> { bytes { $0.lora_name } }
  package var loraPath: UnsafeBufferPointer<UInt8> { bytes { $0.lora_path } }
  package var label: UnsafeBufferPointer<UInt8> { bytes { $0.label } }
  package var priority: Int32 { m?.pointee.priority ?? 0 }
  package var expectedTokens: UInt32 { m?.pointee.expected_tokens ?? 0 }
  package var sizeClass: UInt32 { m?.pointee.size_class ?? 0 }
  package var skipsPrefixLookup: Bool { (m?.pointee.skip_prefix_lookup ?? 0) != 0 }

  package var retentionCount: Int { m?.pointee.n_retention ?? 0 }
  package func retention(_ index: Int) -> RetentionFields {
    precondition(index >= 0 && index < retentionCount, "a range outside its options")
    // protobuf-c leaves no gaps in a list of messages.
    let range = m!.pointee.retention[index]!.pointee
    return RetentionFields(
      firstToken: range.first_token, lastToken: range.last_token, priority: range.priority,
      timeToLive: range.ttl_ms)
  }

  @inline(__always)
  private func bytes(
    _ field: (Quire__V1__SequenceOptions) -> ProtobufCBinaryData
  ) -> UnsafeBufferPointer<UInt8> {
    guard let m else { return .init(start: nil, count: 0) }
    return text(field(m.pointee))
  }
}

// MARK: What clients send

/// The values of a `Content`.
package struct ContentFields: Equatable, Sendable {
  package var tokenIDs: [UInt32]
  package var blockHashes: [UInt8]
  package var tokenCount: UInt32
  package var multimodal: [MultimodalItemFields]
  package var promptEmbedsDigest: [UInt8]

  package init(
    tokenIDs: [UInt32] = [], blockHashes: [UInt8] = [], tokenCount: UInt32 = 0,
    multimodal: [MultimodalItemFields] = [], promptEmbedsDigest: [UInt8] = []
  ) {
    self.tokenIDs = tokenIDs
    self.blockHashes = blockHashes
    self.tokenCount = tokenCount
    self.multimodal = multimodal
    self.promptEmbedsDigest = promptEmbedsDigest
  }
}

/// What tells sequences of equal tokens apart, of a `SequenceOptions`.
package struct HashOptionsFields: Equatable, Sendable {
  package var cacheSalt = ""
  package var loraName = ""
  package var loraPath = ""
  package var skipsPrefixLookup = false

  package init(
    cacheSalt: String = "", loraName: String = "", loraPath: String = "",
    skipsPrefixLookup: Bool = false
  ) {
    self.cacheSalt = cacheSalt
    self.loraName = loraName
    self.loraPath = loraPath
    self.skipsPrefixLookup = skipsPrefixLookup
  }
}

extension MessagePacker {
  mutating func content(_ field: UInt32, _ content: ContentFields) {
    if content == ContentFields() { return }
    let mark = mark
    content.promptEmbedsDigest.withUnsafeBufferPointer { text(5, $0) }
    for item in content.multimodal.reversed() {
      let mark = self.mark
      uint32(3, item.length)
      uint32(2, item.offset)
      text(1, item.identifier)
      close(4, since: mark)
    }
    uint32(3, content.tokenCount)
    content.blockHashes.withUnsafeBufferPointer { text(2, $0) }
    content.tokenIDs.withUnsafeBufferPointer { packedFixed32(1, $0) }
    close(field, since: mark)
  }
}
