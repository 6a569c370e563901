internal import KVBlocks

/// Where the field that a refusal is about stands in the request.
extension RefusalText {
  static func path(
    _ field: Refusal.StaticName, in operation: Operation?, _ named: String?
  ) -> String {
    switch field {
    case .none, .reservation, .work, .extraKeys: return ""
    case .ifRevision: return "call.if_revision"
    case .acknowledgedCopyID: return "acked_copy_id"
    case .hostBlocks: return "config.host_blocks"
    case .admissionThreshold: return "config.admission_threshold"
    case .strategy: return "config.strategy"
    default: break
    }
    guard let operation else {
      return (named.map { "\($0)." } ?? "") + leaf(field, operation)
    }
    // The request itself holds these; it is no operation of a step.
    if case .updatePool = operation.kind { return leaf(field, operation) }
    let name = named ?? name(of: operation)
    return (name.isEmpty ? "" : name + ".") + leaf(field, operation)
  }

  /// The operation as `Op` and the unary requests name it.
  static func name(of operation: Operation) -> String {
    switch operation.kind {
    case .allocate, .place: "allocate"
    case .freeBlocks: "free_blocks"
    case .forkBlocks: "fork_blocks"
    case .copyOnWrite: "copy_on_write"
    case .acknowledgeCopies: "ack_copies"
    case .add: "add"
    case .admit: "admit"
    case .extend: "extend"
    case .append: "append"
    case .fork: "fork"
    case .rewind: "rewind"
    case .preempt: "preempt"
    case .swapOut: "swap_out"
    case .swapIn: "swap_in"
    case .freeSequences: "free_sequences"
    case .reserve: "reserve"
    case .recover: "recover"
    case .flush: "flush"
    case .decode: "decode"
    case .commit: "commit"
    case .acquire: "acquire"
    case .cacheBlocks: "cache_blocks"
    case .evictBlocks: "evict_blocks"
    case .resetPrefixCache: "reset_prefix_cache"
    case .applyDefragment: "apply_defragment"
    case .updatePool: "update_pool"
    case .pin: "pin"
    }
  }

  private static func leaf(_ field: Refusal.StaticName, _ operation: Operation?) -> String {
    switch field {
    case .none, .reservation, .work, .extraKeys: ""
    case .blockIDs: "block_ids"
    case .preferredBlockIDs: "preferred_block_ids"
    case .blockID: "block_id"
    case .generations: "generations"
    case .count: isAcquisition(operation) ? "allocate_count" : "count"
    case .filledTokens: "filled_tokens"
    case .copyIDs: "copy_ids"
    case .upTo: "up_to"
    case .sequenceID: isFork(operation) ? "parent_id" : "sequence_id"
    case .sequenceIDs: "sequence_ids"
    case .childIDs: "child_ids"
    case .tokenCount: tokenCountPath(operation)
    case .tokenIDs: contentPath(operation) + "token_ids"
    case .multimodal: contentPath(operation) + "multimodal"
    case .promptEmbedsDigest: contentPath(operation) + "prompt_embeds_digest"
    case .loraPath: isAdmission(operation) ? "add.options.lora_path" : "options.lora_path"
    case .parentHash: "parent_hash"
    case .appendCounts: "append_counts"
    case .scheduleCounts: "schedule_counts"
    case .lookaheadTokens: "lookahead_tokens"
    case .inFlightTokens: "in_flight_tokens"
    case .uncomputeTokens: "uncompute_tokens"
    case .dropTokens, .keptTokens: "drop_tokens"
    case .victimOrder: "victim_order"
    case .label: isAdmission(operation) ? "add.options.label" : "options.label"
    case .ifRevision: "if_revision"
    case .acknowledgedCopyID: "acked_copy_id"
    case .maxTokensNow: "max_tokens_now"
    case .blockHashes: contentPath(operation) + "block_hashes"
    case .hashCounts: "hash_counts"
    case .watermark: "watermark"
    case .admissionThreshold: "config.admission_threshold"
    case .proactiveFreeBlocks: "proactive_free_blocks"
    case .lazyFreeBatch: "lazy_free_batch"
    case .hostBlocks: "config.host_blocks"
    case .blocks: "blocks"
    case .eviction: "eviction"
    case .retention: isAdmission(operation) ? "add.options.retention" : "options.retention"
    case .blocksNeeded: "blocks_needed"
    case .rungs: "rungs"
    case .sizeClass: optionsPath(operation) + "size_class"
    case .contiguousBlocks: "contiguous_blocks"
    case .plan: "plan"
    case .strategy: "config.strategy"
    case .planRevision: "plan.revision"
    case .planMoves: "plan.moves"
    }
  }

  private static func tokenCountPath(_ operation: Operation?) -> String {
    if case .commit = operation?.kind { return "tokens" }
    let path = contentPath(operation)
    return (path.isEmpty ? "content." : path) + "token_count"
  }

  /// Where the operation has its content, with the dot behind it; empty where it has none.
  private static func contentPath(_ operation: Operation?) -> String {
    switch operation?.kind {
    case .add, .append, .pin: "content."
    case .admit: "add.content."
    case .extend: "append."
    default: ""
    }
  }

  /// Where the operation has a sequence's options, with the dot behind them.
  private static func optionsPath(_ operation: Operation?) -> String {
    switch operation?.kind {
    case .add, .pin: "options."
    case .admit: "add.options."
    default: ""
    }
  }

  private static func isFork(_ operation: Operation?) -> Bool {
    if case .fork = operation?.kind { return true }
    return false
  }

  private static func isAdmission(_ operation: Operation?) -> Bool {
    if case .admit = operation?.kind { return true }
    return false
  }
}
