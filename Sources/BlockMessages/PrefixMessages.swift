internal import CQuireProtos

// sequences.proto: looking up and committing. Requests as views; replies by the packer.

package struct LookupRequest: WireMessage {
  package static var kind: MessageKind { .lookupRequest }
  private let m: UnsafePointer<Quire__V1__LookupRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__LookupRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var lookup: LookupMessage? { m.pointee.lookup.map { .init($0) } }
}

package struct LookupMessage {
  private let m: UnsafePointer<Quire__V1__Lookup>
  init(_ m: UnsafePointer<Quire__V1__Lookup>) { self.m = m }

  package enum Subject {
    case sequence(UInt64)
    case content(ContentMessage)
  }
  /// nil when neither is named.
  package var subject: Subject? {
    switch m.pointee.subject_case {
    case QUIRE__V1__LOOKUP__SUBJECT_SEQUENCE_ID: .sequence(m.pointee.sequence_id)
    case QUIRE__V1__LOOKUP__SUBJECT_CONTENT: .content(.init(m.pointee.content))
    default: nil
    }
  }
  package var hasOptions: Bool { m.pointee.options != nil }
  package var options: OptionsMessage { .init(m.pointee.options) }
}

package struct CommitRequest: WireMessage {
  package static var kind: MessageKind { .commitRequest }
  private let m: UnsafePointer<Quire__V1__CommitRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__CommitRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var commit: CommitMessage? { m.pointee.commit.map { .init($0) } }
}

package struct CommitMessage {
  private let m: UnsafePointer<Quire__V1__Commit>
  init(_ m: UnsafePointer<Quire__V1__Commit>) { self.m = m }
  package var sequenceID: UInt64 { m.pointee.sequence_id }
  /// 0 = all that were scheduled.
  package var tokens: UInt32 { m.pointee.tokens }
}

// MARK: Replies

extension MessagePacker {
  package mutating func lookupReply(
    revision: UInt64, cachedTokens: UInt32, blockIDs: UnsafeBufferPointer<UInt32>,
    evictableBlocks: UInt32, blocksNeeded: UInt32, nullPrefixBlocks: UInt32
  ) {
    uint32(6, nullPrefixBlocks)
    uint32(5, blocksNeeded)
    uint32(4, evictableBlocks)
    packedUInt32(3, blockIDs)
    uint32(2, cachedTokens)
    uint64(1, revision)
  }

  package mutating func commitReply(
    revision: UInt64, committedTokens: UInt32, cachedBlocks: UInt32
  ) {
    uint32(3, cachedBlocks)
    uint32(2, committedTokens)
    uint64(1, revision)
  }
}

// MARK: What clients send and receive

extension MessagePacker {
  package mutating func lookupRequest(call: CallFields = CallFields(), sequenceID: UInt64) {
    let mark = mark
    setUInt64(1, sequenceID)
    close(2, since: mark)
    self.call(call)
  }

  package mutating func lookupRequest(
    call: CallFields = CallFields(), content: ContentFields,
    options: HashOptionsFields = HashOptionsFields()
  ) {
    let mark = mark
    let inner = self.mark
    bool(6, options.skipsPrefixLookup)
    text(3, options.loraPath)
    text(2, options.loraName)
    text(1, options.cacheSalt)
    if self.mark > inner { close(3, since: inner) }
    self.content(2, content)
    close(2, since: mark)
    self.call(call)
  }
}

package struct LookupReplyMessage: WireMessage {
  package static var kind: MessageKind { .lookupReply }
  private let m: UnsafePointer<Quire__V1__LookupReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__LookupReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var cachedTokens: UInt32 { m.pointee.cached_tokens }
  package var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  package var evictableBlocks: UInt32 { m.pointee.evictable_blocks }
  package var blocksNeeded: UInt32 { m.pointee.blocks_needed }
}
