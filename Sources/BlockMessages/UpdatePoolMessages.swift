internal import CQuireProtos

// pools.proto: options that change while a pool is used.

package struct UpdatePoolRequest: WireMessage {
  package static var kind: MessageKind { .updatePoolRequest }
  private let m: UnsafePointer<Quire__V1__UpdatePoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__UpdatePoolRequest.self)
  }

  package var call: CallMessage { .init(m.pointee.call) }
  /// Raw value of `EvictionPolicy`; 0: as it is.
  package var eviction: UInt32 { m.pointee.eviction.rawValue }
  /// nil: as it is.
  package var watermark: Double? {
    m.pointee.new_watermark_case == QUIRE__V1__UPDATE_POOL_REQUEST__NEW_WATERMARK_WATERMARK
      ? m.pointee.watermark : nil
  }
  /// nil: as it is.
  package var lazyFreeBatch: UInt32? {
    m.pointee.new_lazy_free_batch_case
      == QUIRE__V1__UPDATE_POOL_REQUEST__NEW_LAZY_FREE_BATCH_LAZY_FREE_BATCH
      ? m.pointee.lazy_free_batch : nil
  }
  /// nil: as it is.
  package var proactiveFreeBlocks: UInt32? {
    m.pointee.new_proactive_free_blocks_case
      == QUIRE__V1__UPDATE_POOL_REQUEST__NEW_PROACTIVE_FREE_BLOCKS_PROACTIVE_FREE_BLOCKS
      ? m.pointee.proactive_free_blocks : nil
  }
}
