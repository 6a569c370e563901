internal import CQuireProtos

// types.proto: the envelope of every request, and the shapes that many replies share.

/// `Call`: which pool, and on what conditions. Absent fields read as their defaults.
public struct CallMessage {
  private let m: UnsafePointer<Quire__V1__Call>?
  init(_ m: UnsafePointer<Quire__V1__Call>?) { self.m = m }

  /// UTF-8; empty = "default".
  public var pool: UnsafeBufferPointer<UInt8> {
    guard let m else { return .init(start: nil, count: 0) }
    return text(m.pointee.pool)
  }
  public var ifRevision: UInt64 { m?.pointee.if_revision ?? 0 }
  /// Milliseconds; 0 = the server's clock.
  public var nowMs: UInt64 { m?.pointee.now_ms ?? 0 }
  public var isDryRun: Bool { (m?.pointee.dry_run ?? 0) != 0 }
}

/// The values of a `CopyOrder`.
public struct CopyOrderFields: Equatable, BitwiseCopyable {
  public var copyID: UInt64
  public var sourceBlock: UInt32
  public var targetBlock: UInt32
  public var tokens: UInt32
  public var sequenceID: UInt64
  public var tableIndex: UInt32
  /// Raw values of `Tier`; 0 = the device.
  public var sourceTier: UInt32
  public var targetTier: UInt32

  public init(
    copyID: UInt64, sourceBlock: UInt32, targetBlock: UInt32, tokens: UInt32, sequenceID: UInt64,
    tableIndex: UInt32, sourceTier: UInt32 = 0, targetTier: UInt32 = 0
  ) {
    self.copyID = copyID
    self.sourceBlock = sourceBlock
    self.targetBlock = targetBlock
    self.tokens = tokens
    self.sequenceID = sequenceID
    self.tableIndex = tableIndex
    self.sourceTier = sourceTier
    self.targetTier = targetTier
  }
}

/// The values of a `Refusal`.
public struct RefusalFields: Equatable {
  /// Raw value of `RefusalReason`.
  public var reason: UInt32
  public var field: String
  public var detail: String
  public var needed: UInt32
  public var available: UInt32
  public var evictableWithinAvailable: UInt32
  public var reserved: UInt32
  public var watermark: UInt32
  public var sequenceID: UInt64
  /// With NO_RUN: the longest run that could have been had.
  public var largestRun: UInt32
  /// The number of the size class that is short of blocks, from 1; 0 where none is.
  public var sizeClass: UInt32

  public init(
    reason: UInt32, field: String = "", detail: String = "", needed: UInt32 = 0,
    available: UInt32 = 0, evictableWithinAvailable: UInt32 = 0, reserved: UInt32 = 0,
    watermark: UInt32 = 0, sequenceID: UInt64 = 0, largestRun: UInt32 = 0,
    sizeClass: UInt32 = 0
  ) {
    self.reason = reason
    self.field = field
    self.detail = detail
    self.needed = needed
    self.available = available
    self.evictableWithinAvailable = evictableWithinAvailable
    self.reserved = reserved
    self.watermark = watermark
    self.sequenceID = sequenceID
    self.largestRun = largestRun
    self.sizeClass = sizeClass
  }

  init?(_ m: UnsafePointer<Quire__V1__Refusal>?) {
    guard let m = m?.pointee else { return nil }
    reason = m.reason.rawValue
    field = String(decoding: text(m.field), as: UTF8.self)
    detail = String(decoding: text(m.detail), as: UTF8.self)
    needed = m.needed
    available = m.available
    evictableWithinAvailable = m.evictable_within_available
    reserved = m.reserved
    watermark = m.watermark
    sizeClass = m.size_class
    sequenceID = m.sequence_id
    largestRun = m.largest_run
  }
}

extension MessagePacker {
  public mutating func copyOrder(_ field: UInt32, _ order: CopyOrderFields) {
    let mark = mark
    uint32(9, order.targetTier)
    uint32(8, order.sourceTier)
    uint32(6, order.tableIndex)
    uint64(5, order.sequenceID)
    uint32(4, order.tokens)
    uint32(3, order.targetBlock)
    uint32(2, order.sourceBlock)
    uint64(1, order.copyID)
    close(field, since: mark)
  }

  /// The fields of a `Refusal`, as the message itself.
  public mutating func refusal(_ refusal: RefusalFields) {
    uint32(11, refusal.sizeClass)
    uint32(10, refusal.largestRun)
    uint64(9, refusal.sequenceID)
    uint32(8, refusal.watermark)
    uint32(7, refusal.reserved)
    uint32(6, refusal.evictableWithinAvailable)
    uint32(5, refusal.available)
    uint32(4, refusal.needed)
    text(3, refusal.detail)
    text(2, refusal.field)
    uint32(1, refusal.reason)
  }

  public mutating func refusal(_ field: UInt32, _ refusal: RefusalFields) {
    let mark = mark
    self.refusal(refusal)
    close(field, since: mark)
  }
}

func copyOrders(
  _ orders: UnsafeMutablePointer<UnsafeMutablePointer<Quire__V1__CopyOrder>?>?, _ count: Int
) -> [CopyOrderFields] {
  list(orders, count).map { order in
    CopyOrderFields(order!.pointee)  // protobuf-c leaves no gaps in a list of messages.
  }
}
