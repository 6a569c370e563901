internal import CQuireProtos

// block_pool.proto: raw blocks. Requests as views; replies by the packer.

public struct AllocateRequest: WireMessage {
  package static var kind: MessageKind { .allocateRequest }
  private let m: UnsafePointer<Quire__V1__AllocateRequest>
  public init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AllocateRequest.self)
  }

  public var call: CallMessage { .init(m.pointee.call) }
  public var allocate: AllocateMessage? { m.pointee.allocate.map { .init($0) } }
}

public struct AllocateMessage {
  private let m: UnsafePointer<Quire__V1__Allocate>
  init(_ m: UnsafePointer<Quire__V1__Allocate>) { self.m = m }
  public var count: UInt32 { m.pointee.count }
  public var isContiguous: Bool { m.pointee.contiguous != 0 }
  public var sizeClass: UInt32 { m.pointee.size_class }
  public var preferredBlockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.preferred_block_ids, m.pointee.n_preferred_block_ids)
  }
}

public struct FreeRequest: WireMessage {
  package static var kind: MessageKind { .freeRequest }
  private let m: UnsafePointer<Quire__V1__FreeRequest>
  public init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__FreeRequest.self)
  }

  public var call: CallMessage { .init(m.pointee.call) }
  public var freeBlocks: FreeBlocksMessage? { m.pointee.free_blocks.map { .init($0) } }
}

public struct FreeBlocksMessage {
  private let m: UnsafePointer<Quire__V1__FreeBlocks>
  init(_ m: UnsafePointer<Quire__V1__FreeBlocks>) { self.m = m }
  public var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  public var generations: UnsafeBufferPointer<UInt32> {
    list(m.pointee.generations, m.pointee.n_generations)
  }
}

public struct ForkBlocksRequest: WireMessage {
  package static var kind: MessageKind { .forkBlocksRequest }
  private let m: UnsafePointer<Quire__V1__ForkBlocksRequest>
  public init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__ForkBlocksRequest.self)
  }

  public var call: CallMessage { .init(m.pointee.call) }
  public var forkBlocks: ForkBlocksMessage? { m.pointee.fork_blocks.map { .init($0) } }
}

public struct ForkBlocksMessage {
  private let m: UnsafePointer<Quire__V1__ForkBlocks>
  init(_ m: UnsafePointer<Quire__V1__ForkBlocks>) { self.m = m }
  public var blockIDs: UnsafeBufferPointer<UInt32> {
    list(m.pointee.block_ids, m.pointee.n_block_ids)
  }
  public var generations: UnsafeBufferPointer<UInt32> {
    list(m.pointee.generations, m.pointee.n_generations)
  }
}

public struct CopyOnWriteRequest: WireMessage {
  package static var kind: MessageKind { .copyOnWriteRequest }
  private let m: UnsafePointer<Quire__V1__CopyOnWriteRequest>
  public init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__CopyOnWriteRequest.self)
  }

  public var call: CallMessage { .init(m.pointee.call) }
  public var copyOnWrite: CopyOnWriteMessage? { m.pointee.copy_on_write.map { .init($0) } }
}

public struct CopyOnWriteMessage {
  private let m: UnsafePointer<Quire__V1__CopyOnWrite>
  init(_ m: UnsafePointer<Quire__V1__CopyOnWrite>) { self.m = m }
  public var blockID: UInt32 { m.pointee.block_id }
  /// 0 = the whole block.
  public var filledTokens: UInt32 { m.pointee.filled_tokens }
}

public struct AckCopiesRequest: WireMessage {
  package static var kind: MessageKind { .ackCopiesRequest }
  private let m: UnsafePointer<Quire__V1__AckCopiesRequest>
  public init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__AckCopiesRequest.self)
  }

  public var call: CallMessage { .init(m.pointee.call) }
  public var ackCopies: AckCopiesMessage? { m.pointee.ack_copies.map { .init($0) } }
}

public struct AckCopiesMessage {
  private let m: UnsafePointer<Quire__V1__AckCopies>
  init(_ m: UnsafePointer<Quire__V1__AckCopies>) { self.m = m }
  public var copyIDs: UnsafeBufferPointer<UInt64> {
    list(m.pointee.copy_ids, m.pointee.n_copy_ids)
  }
  public var upTo: UInt64 { m.pointee.up_to }
}

// MARK: Replies

/// Each packs the fields of its message; inside a step's result `revision` stays 0, for the step
/// says it once.
extension MessagePacker {
  /// Of every reply that hands out blocks the last field: the very first thing to pack of it.
  public mutating func mustZero(_ blockIDs: UnsafeBufferPointer<UInt32>) {
    packedUInt32(14, blockIDs)
  }

  public mutating func allocateReply(
    revision: UInt64, blockIDs: UnsafeBufferPointer<UInt32>, availableBlocks: UInt32,
    evictedBlocks: UInt32 = 0
  ) {
    uint32(4, evictedBlocks)
    uint32(3, availableBlocks)
    packedUInt32(2, blockIDs)
    uint64(1, revision)
  }

  public mutating func freeReply(
    revision: UInt64, freedBlocks: UInt32, availableBlocks: UInt32
  ) {
    uint32(3, availableBlocks)
    uint32(2, freedBlocks)
    uint64(1, revision)
  }

  public mutating func forkBlocksReply(
    revision: UInt64, refCounts: UnsafeBufferPointer<UInt32>
  ) {
    packedUInt32(2, refCounts)
    uint64(1, revision)
  }

  public mutating func copyOnWriteReply(
    revision: UInt64, blockID: UInt32, copy: CopyOrderFields?, availableBlocks: UInt32
  ) {
    uint32(4, availableBlocks)
    if let copy { copyOrder(3, copy) }
    uint32(2, blockID)
    uint64(1, revision)
  }

  public mutating func ackCopiesReply(
    revision: UInt64, acknowledged: UInt32, pending: UInt32, availableBlocks: UInt32
  ) {
    uint32(4, availableBlocks)
    uint32(3, pending)
    uint32(2, acknowledged)
    uint64(1, revision)
  }
}
