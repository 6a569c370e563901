internal import CQuireProtos

// This module owns the messages of quire.v1: decoding them into views that plain Swift can read,
// checking what the wire does not (text, known enum values, fields not served yet), and packing them.
// It is the only one that sees protobuf-c. It never decides what a request means: it knows no pools,
// no statuses and no sockets.

/// The messages that can be decoded.
package enum MessageKind: UInt8, CaseIterable, Sendable {
  // Requests, checked against `ServedFields`.
  case allocateRequest, freeRequest, forkBlocksRequest, copyOnWriteRequest, ackCopiesRequest
  case lookupBlocksRequest, acquireRequest, cacheBlocksRequest, evictBlocksRequest
  case addRequest, admitRequest, extendRequest, appendRequest, forkRequest, rewindRequest
  case preemptRequest, swapRequest, reserveRequest, pinRequest, freeSequencesRequest
  case adviseVictimsRequest
  case getSequenceRequest, listSequencesRequest, lookupRequest, commitRequest
  case stepRequest, recoverRequest
  case createPoolRequest, getPoolRequest, listPoolsRequest, deletePoolRequest, resetPoolRequest
  case updatePoolRequest, flushRequest
  case resetPrefixCacheRequest, getDigestRequest, dumpPoolRequest, loadPoolRequest
  case planDefragmentRequest, applyDefragmentRequest
  case subscribeKvEventsRequest, dumpStateRequest
  case watchStatsRequest, getBlockMapRequest, getSnapshotRequest, getHistoryRequest
  case resetPeaksRequest, getReportRequest
  case explainBlockRequest, whatIfRequest
  case getStatsRequest
  // Replies, for clients.
  case allocateReply, freeReply, stepReply, poolInfo, stats, sequence, digest
  case listSequencesReply, listPoolsReply, lookupBlocksReply, acquireReply, lookupReply
  case kvEventBatch, stateChunk
  case blockMap, fragmentationSnapshot, history, report

  var isRequest: Bool { rawValue <= Self.getStatsRequest.rawValue }

  /// protobuf-c's own descriptor, whose address is its identity.
  var descriptor: UnsafePointer<ProtobufCMessageDescriptor> {
    switch self {
    case .allocateRequest: address(quire__v1__allocate_request__init)
    case .freeRequest: address(quire__v1__free_request__init)
    case .forkBlocksRequest: address(quire__v1__fork_blocks_request__init)
    case .copyOnWriteRequest: address(quire__v1__copy_on_write_request__init)
    case .ackCopiesRequest: address(quire__v1__ack_copies_request__init)
    case .lookupBlocksRequest: address(quire__v1__lookup_blocks_request__init)
    case .acquireRequest: address(quire__v1__acquire_request__init)
    case .cacheBlocksRequest: address(quire__v1__cache_blocks_request__init)
    case .evictBlocksRequest: address(quire__v1__evict_blocks_request__init)
    case .addRequest: address(quire__v1__add_request__init)
    case .admitRequest: address(quire__v1__admit_request__init)
    case .extendRequest: address(quire__v1__extend_request__init)
    case .appendRequest: address(quire__v1__append_request__init)
    case .forkRequest: address(quire__v1__fork_request__init)
    case .rewindRequest: address(quire__v1__rewind_request__init)
    case .preemptRequest: address(quire__v1__preempt_request__init)
    case .swapRequest: address(quire__v1__swap_request__init)
    case .reserveRequest: address(quire__v1__reserve_request__init)
    case .pinRequest: address(quire__v1__pin_request__init)
    case .freeSequencesRequest: address(quire__v1__free_sequences_request__init)
    case .adviseVictimsRequest: address(quire__v1__advise_victims_request__init)
    case .getSequenceRequest: address(quire__v1__get_sequence_request__init)
    case .listSequencesRequest: address(quire__v1__list_sequences_request__init)
    case .lookupRequest: address(quire__v1__lookup_request__init)
    case .commitRequest: address(quire__v1__commit_request__init)
    case .recoverRequest: address(quire__v1__recover_request__init)
    case .stepRequest: address(quire__v1__step_request__init)
    case .createPoolRequest: address(quire__v1__create_pool_request__init)
    case .flushRequest: address(quire__v1__flush_request__init)
    case .updatePoolRequest: address(quire__v1__update_pool_request__init)
    case .getPoolRequest: address(quire__v1__get_pool_request__init)
    case .listPoolsRequest: address(quire__v1__list_pools_request__init)
    case .deletePoolRequest: address(quire__v1__delete_pool_request__init)
    case .resetPoolRequest: address(quire__v1__reset_pool_request__init)
    case .resetPrefixCacheRequest: address(quire__v1__reset_prefix_cache_request__init)
    case .getDigestRequest: address(quire__v1__get_digest_request__init)
    case .dumpPoolRequest: address(quire__v1__dump_pool_request__init)
    case .loadPoolRequest: address(quire__v1__load_pool_request__init)
    case .planDefragmentRequest: address(quire__v1__plan_defragment_request__init)
    case .applyDefragmentRequest: address(quire__v1__apply_defragment_request__init)
    case .subscribeKvEventsRequest: address(quire__v1__subscribe_kv_events_request__init)
    case .dumpStateRequest: address(quire__v1__dump_state_request__init)
    case .explainBlockRequest: address(quire__v1__explain_block_request__init)
    case .whatIfRequest: address(quire__v1__what_if_request__init)
    case .getStatsRequest: address(quire__v1__get_stats_request__init)
    case .kvEventBatch: address(quire__v1__kv_event_batch__init)
    case .stateChunk: address(quire__v1__state_chunk__init)
    case .watchStatsRequest: address(quire__v1__watch_stats_request__init)
    case .getBlockMapRequest: address(quire__v1__get_block_map_request__init)
    case .getSnapshotRequest: address(quire__v1__get_snapshot_request__init)
    case .getHistoryRequest: address(quire__v1__get_history_request__init)
    case .resetPeaksRequest: address(quire__v1__reset_peaks_request__init)
    case .getReportRequest: address(quire__v1__get_report_request__init)
    case .blockMap: address(quire__v1__block_map__init)
    case .fragmentationSnapshot: address(quire__v1__fragmentation_snapshot__init)
    case .history: address(quire__v1__history__init)
    case .report: address(quire__v1__report__init)
    case .allocateReply: address(quire__v1__allocate_reply__init)
    case .freeReply: address(quire__v1__free_reply__init)
    case .stepReply: address(quire__v1__step_reply__init)
    case .poolInfo: address(quire__v1__pool_info__init)
    case .stats: address(quire__v1__stats__init)
    case .sequence: address(quire__v1__sequence__init)
    case .digest: address(quire__v1__digest__init)
    case .listSequencesReply: address(quire__v1__list_sequences_reply__init)
    case .listPoolsReply: address(quire__v1__list_pools_reply__init)
    case .lookupBlocksReply: address(quire__v1__lookup_blocks_reply__init)
    case .acquireReply: address(quire__v1__acquire_reply__init)
    case .lookupReply: address(quire__v1__lookup_reply__init)
    }
  }

  /// A message begins with its descriptor's address, which only its initialiser is sure to know:
  /// taking the address of the imported global could give that of a copy.
  private func address<Message>(
    _ initialise: (UnsafeMutablePointer<Message>?) -> Void
  ) -> UnsafePointer<ProtobufCMessageDescriptor> {
    let message = UnsafeMutablePointer<Message>.allocate(capacity: 1)
    defer { message.deallocate() }
    initialise(message)
    return UnsafeRawPointer(message).load(as: UnsafePointer<ProtobufCMessageDescriptor>.self)
  }
}

/// A serialised `google.protobuf.FileDescriptorSet` of everything the server serves, each file after
/// those it imports; for reflection. Lives as long as the program.
package func fileDescriptorSet() -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(
    start: quire_descriptor_set_address(), count: quire_descriptor_set_size)
}

func list<Element>(
  _ elements: UnsafeMutablePointer<Element>?, _ count: Int
) -> UnsafeBufferPointer<Element> {
  UnsafeBufferPointer(start: elements, count: count)
}

func text(_ data: ProtobufCBinaryData) -> UnsafeBufferPointer<UInt8> {
  UnsafeBufferPointer(start: data.data, count: data.len)
}
