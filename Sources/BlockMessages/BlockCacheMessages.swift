internal import CQuireProtos

// block_pool.proto: the prefix cache by hashes. Requests as views; replies by the packer.

package struct LookupBlocksRequest: WireMessage {
  package static var kind: MessageKind { .lookupBlocksRequest }
  private let m: UnsafePointer<Quire__V1__LookupBlocksRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__LookupBlocksRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var lookupBlocks: LookupBlocksMessage? { m.pointee.lookup_blocks.map { .init($0) } }
}

package struct LookupBlocksMessage {
  private let m: UnsafePointer<Quire__V1__LookupBlocks>
  init(_ m: UnsafePointer<Quire__V1__LookupBlocks>) { self.m = m }
  /// One hash after the other, in prefix order.
  package var blockHashes: UnsafeBufferPointer<UInt8> { text(m.pointee.block_hashes) }
  package var sizeClass: UInt32 { m.pointee.size_class }
}

package struct AcquireRequest: WireMessage {
  package static var kind: MessageKind { .acquireRequest }
  private let m: UnsafePointer<Quire__V1__AcquireRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AcquireRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var acquire: AcquireMessage? { m.pointee.acquire.map { .init($0) } }
}

package struct AcquireMessage {
  private let m: UnsafePointer<Quire__V1__Acquire>
  init(_ m: UnsafePointer<Quire__V1__Acquire>) { self.m = m }
  /// One hash after the other, in prefix order.
  package var blockHashes: UnsafeBufferPointer<UInt8> { text(m.pointee.block_hashes) }
  /// Blocks behind the cached ones.
  package var allocateCount: UInt32 { m.pointee.allocate_count }
  package var sizeClass: UInt32 { m.pointee.size_class }
}

package struct CacheBlocksRequest: WireMessage {
  package static var kind: MessageKind { .cacheBlocksRequest }
  private let m: UnsafePointer<Quire__V1__CacheBlocksRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__CacheBlocksRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var cacheBlocks: CacheBlocksMessage? { m.pointee.cache_blocks.map { .init($0) } }
}

package struct CacheBlocksMessage {
  private let m: UnsafePointer<Quire__V1__CacheBlocks>
  init(_ m: UnsafePointer<Quire__V1__CacheBlocks>) { self.m = m }
  package var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  /// One hash after the other, in prefix order.
  package var blockHashes: UnsafeBufferPointer<UInt8> { text(m.pointee.block_hashes) }
  /// Of the block before the first.
  package var parentHash: UnsafeBufferPointer<UInt8> { text(m.pointee.parent_hash) }
}

package struct EvictBlocksRequest: WireMessage {
  package static var kind: MessageKind { .evictBlocksRequest }
  private let m: UnsafePointer<Quire__V1__EvictBlocksRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__EvictBlocksRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  package var evictBlocks: EvictBlocksMessage? { m.pointee.evict_blocks.map { .init($0) } }
}

package struct EvictBlocksMessage {
  private let m: UnsafePointer<Quire__V1__EvictBlocks>
  init(_ m: UnsafePointer<Quire__V1__EvictBlocks>) { self.m = m }
  package var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
}

// MARK: Replies

extension MessagePacker {
  package mutating func lookupBlocksReply(
    revision: UInt64, blockIDs: UnsafeBufferPointer<UInt32>,
    refCounts: UnsafeBufferPointer<UInt32>
  ) {
    packedUInt32(3, refCounts)
    packedUInt32(2, blockIDs)
    uint64(1, revision)
  }

  package mutating func acquireReply(
    revision: UInt64, cachedBlockIDs: UnsafeBufferPointer<UInt32>,
    newBlockIDs: UnsafeBufferPointer<UInt32>, availableBlocks: UInt32, evictedBlocks: UInt32
  ) {
    uint32(5, evictedBlocks)
    uint32(4, availableBlocks)
    packedUInt32(3, newBlockIDs)
    packedUInt32(2, cachedBlockIDs)
    uint64(1, revision)
  }

  package mutating func cacheBlocksReply(revision: UInt64, cachedBlocks: UInt32) {
    uint32(2, cachedBlocks)
    uint64(1, revision)
  }

  package mutating func evictBlocksReply(
    revision: UInt64, evictedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(3, availableBlocks)
    uint32(2, evictedBlocks)
    uint64(1, revision)
  }
}

// MARK: What clients receive

package struct LookupBlocksReplyMessage: WireMessage {
  package static var kind: MessageKind { .lookupBlocksReply }
  private let m: UnsafePointer<Quire__V1__LookupBlocksReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__LookupBlocksReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  /// One each; 0 = evictable.
  package var refCounts: UnsafeBufferPointer<UInt32> {
    list(m.pointee.ref_counts, m.pointee.n_ref_counts)
  }
}

package struct AcquireReplyMessage: WireMessage {
  package static var kind: MessageKind { .acquireReply }
  private let m: UnsafePointer<Quire__V1__AcquireReply>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AcquireReply.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var cachedBlockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.cached_block_ids, m.pointee.n_cached_block_ids)
  }
  package var newBlockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.new_block_ids, m.pointee.n_new_block_ids)
  }
  package var availableBlocks: UInt32 { m.pointee.available_blocks }
  package var evictedBlocks: UInt32 { m.pointee.evicted_blocks }
}
