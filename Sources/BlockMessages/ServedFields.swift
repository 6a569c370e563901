/// The fields of each request message that this server serves.
///
/// An allow-list, so that a field added to the contract is refused until someone serves it. Adding a
/// field here is the last step of serving it.
enum ServedFields {
  static let byMessage: [String: Set<String>] = [
    // Envelope.
    "quire.v1.Call": ["pool", "if_revision", "dry_run", "now_ms"],

    // Raw blocks.
    "quire.v1.AllocateRequest": ["call", "allocate"],
    "quire.v1.Allocate": ["count", "contiguous", "preferred_block_ids", "size_class"],
    "quire.v1.FreeRequest": ["call", "free_blocks"],
    "quire.v1.FreeBlocks": ["block_ids", "generations"],
    "quire.v1.ForkBlocksRequest": ["call", "fork_blocks"],
    "quire.v1.ForkBlocks": ["block_ids", "generations"],
    "quire.v1.CopyOnWriteRequest": ["call", "copy_on_write"],
    "quire.v1.CopyOnWrite": ["block_id", "filled_tokens"],
    "quire.v1.AckCopiesRequest": ["call", "ack_copies"],
    "quire.v1.AckCopies": ["copy_ids", "up_to"],
    "quire.v1.LookupBlocksRequest": ["call", "lookup_blocks"],
    "quire.v1.LookupBlocks": ["block_hashes", "size_class"],
    "quire.v1.AcquireRequest": ["call", "acquire"],
    "quire.v1.Acquire": ["block_hashes", "allocate_count", "size_class"],
    "quire.v1.CacheBlocksRequest": ["call", "cache_blocks"],
    "quire.v1.CacheBlocks": ["block_ids", "block_hashes", "parent_hash"],
    "quire.v1.EvictBlocksRequest": ["call", "evict_blocks"],
    "quire.v1.EvictBlocks": ["block_ids"],

    // Sequences.
    "quire.v1.Content": [
      "token_ids", "block_hashes", "token_count", "multimodal", "prompt_embeds_digest",
    ],
    "quire.v1.MultimodalItem": ["identifier", "offset", "length"],
    "quire.v1.SequenceOptions": [
      "cache_salt", "lora_name", "lora_path", "priority", "expected_tokens", "skip_prefix_lookup",
      "label", "retention", "size_class",
    ],
    "quire.v1.Retention": ["first_token", "last_token", "priority", "ttl_ms"],
    "quire.v1.AddRequest": ["call", "add"],
    "quire.v1.Add": ["sequence_id", "content", "options"],
    "quire.v1.LookupRequest": ["call", "lookup"],
    "quire.v1.Lookup": ["sequence_id", "content", "options"],
    "quire.v1.AdmitRequest": ["call", "admit"],
    "quire.v1.Admit": [
      "sequence_id", "add", "keep_on_refusal", "max_tokens_now", "lookahead_tokens",
      "allow_partial_fit", "delay_commit", "reserved_blocks", "ignore_watermark",
      "external_computed_tokens",
    ],
    "quire.v1.ExtendRequest": ["call", "extend"],
    "quire.v1.Extend": [
      "sequence_id", "append", "max_tokens_now", "lookahead_tokens", "delay_commit",
      "reserved_blocks", "in_flight_tokens",
    ],
    "quire.v1.AppendRequest": ["call", "append"],
    "quire.v1.Append": ["sequence_id", "content"],
    "quire.v1.CommitRequest": ["call", "commit"],
    "quire.v1.Commit": ["sequence_id", "tokens"],
    "quire.v1.ForkRequest": ["call", "fork"],
    "quire.v1.Fork": ["parent_id", "child_ids"],
    "quire.v1.RewindRequest": ["call", "rewind"],
    "quire.v1.Rewind": ["sequence_id", "uncompute_tokens", "drop_tokens", "release_blocks"],
    "quire.v1.PreemptRequest": ["call", "preempt"],
    "quire.v1.Preempt": ["sequence_ids"],
    "quire.v1.SwapRequest": ["call", "swap"],
    "quire.v1.SwapSequences": ["sequence_ids"],
    "quire.v1.ReserveRequest": ["call", "reserve"],
    "quire.v1.Reserve": ["sequence_id", "blocks", "release", "size_class"],
    "quire.v1.PinRequest": ["call", "pin"],
    "quire.v1.Pin": ["content", "options", "ttl_ms", "unpin"],
    "quire.v1.FreeSequencesRequest": ["call", "free_sequences"],
    "quire.v1.FreeSequences": ["sequence_ids", "ignore_missing"],
    "quire.v1.AdviseVictimsRequest": [
      "call", "blocks_needed", "keep_sequence_ids", "max_victims", "order", "size_class",
    ],
    "quire.v1.GetSequenceRequest": ["call", "sequence_id"],
    "quire.v1.ListSequencesRequest": [
      "call", "page_size", "page_token", "state", "with_block_ids",
    ],

    // Scheduler.
    "quire.v1.StepRequest": [
      "call", "ops", "on_refusal", "token_budget", "no_admit_after_preemption", "acked_copy_id",
      "with_stats", "victim_policy",
    ],
    "quire.v1.Op": [
      "on_refusal", "decode", "admit", "extend", "append", "commit", "fork", "rewind", "preempt",
      "swap_out", "swap_in", "free_sequences", "reserve", "pin", "recover", "flush",
      "apply_defragment", "reset_prefix_cache", "ack_copies",
      "add",
      "allocate",
      "free_blocks",
      "fork_blocks",
      "copy_on_write", "acquire", "cache_blocks", "evict_blocks",
    ],
    "quire.v1.RecoverRequest": ["call", "recover"],
    "quire.v1.Recover": [
      "blocks_needed", "contiguous", "rungs", "keep_sequence_ids", "max_moves", "size_class",
    ],
    "quire.v1.Decode": [
      "sequence_ids", "append_counts", "token_ids", "schedule_counts", "lookahead_tokens",
      "delay_commit", "commit_previous", "victim_order", "in_flight_tokens",
    ],

    // Pools. `PoolConfig`'s strategy is served for some values only.
    "quire.v1.CreatePoolRequest": ["call", "name", "config", "if_exists"],
    "quire.v1.PoolConfig": [
      "blocks", "block_size", "size_classes", "kv_bytes", "memory_utilization", "geometry",
      "strategy", "eviction",
      "disable_prefix_caching", "hash", "hash_seed", "watermark", "max_model_tokens",
      "sliding_window", "max_in_flight_tokens", "eagle", "hash_lookahead_tokens", "copy_ack",
      "keep_tokens", "pin_budget_blocks", "host_blocks", "admission_threshold",
      "proactive_free_blocks", "lazy_free_batch", "zero_on_free",
    ],
    "quire.v1.SizeClass": ["block_size", "blocks", "max_expected_tokens"],
    "quire.v1.KvGeometry": ["layers", "kv_heads", "head_size", "dtype_bytes"],
    "quire.v1.UpdatePoolRequest": [
      "call", "eviction", "watermark", "proactive_free_blocks", "lazy_free_batch",
    ],
    "quire.v1.FlushRequest": ["call"],
    "quire.v1.Flush": [],
    "quire.v1.GetPoolRequest": ["call"],
    "quire.v1.ListPoolsRequest": ["page_size", "page_token"],
    "quire.v1.DeletePoolRequest": ["call", "force"],
    "quire.v1.ResetPoolRequest": ["call", "force"],
    "quire.v1.ResetPrefixCacheRequest": ["call", "preempt_running"],
    "quire.v1.ResetPrefixCache": ["preempt_running"],
    "quire.v1.PlanDefragmentRequest": [
      "call", "contiguous_blocks", "sequence_id", "max_moves", "size_class",
    ],
    "quire.v1.ApplyDefragmentRequest": ["call", "plan"],
    "quire.v1.ApplyDefragment": ["plan"],
    "quire.v1.DefragmentPlan": [
      "revision", "moves", "largest_run_before", "largest_run_after", "tokens_to_copy",
      "sufficient", "largest_free_run_before", "largest_free_run_after",
    ],
    "quire.v1.BlockMove": ["source_block", "target_block", "tokens", "sequence_id"],
    "quire.v1.GetDigestRequest": ["call", "history_only"],
    "quire.v1.DumpPoolRequest": ["call"],
    "quire.v1.LoadPoolRequest": ["call", "name", "if_exists", "data"],

    // Events.
    "quire.v1.SubscribeKvEventsRequest": [
      "call", "start_sequence_number", "with_forks_and_copies", "with_token_ids", "epoch",
    ],
    "quire.v1.DumpStateRequest": [
      "call", "with_token_ids", "with_parent_hashes", "with_state_digest",
    ],

    // Analyzer.
    "quire.v1.GetStatsRequest": ["call", "include"],
    "quire.v1.WatchStatsRequest": ["call", "interval_ms", "include"],
    "quire.v1.GetBlockMapRequest": [
      "call", "first_block", "blocks", "blocks_per_cell", "sequence_id",
    ],
    "quire.v1.GetSnapshotRequest": ["call", "top_sequences", "probe_blocks", "with_orphans"],
    "quire.v1.GetHistoryRequest": ["call", "since_ms", "max_samples"],
    "quire.v1.ResetPeaksRequest": ["call"],
    "quire.v1.GetReportRequest": ["call", "format", "since_ms"],
    "quire.v1.WhatIfRequest": [
      "call", "lengths", "block_sizes", "configs", "pool_blocks", "strategies", "evictions",
      "watermarks", "trace",
    ],
    "quire.v1.WhatIfTrace": [
      "arrival_us", "input_tokens", "output_tokens", "content_counts", "content_ids",
      "content_tokens", "step_us", "prompts_only",
    ],
    "quire.v1.ExplainBlockRequest": ["call", "block_id", "max_incidents"],
  ]

  /// The served fields that are strings on the wire, and how many bytes they may have. protobuf-c
  /// sees bytes, for it cuts strings at a NUL; the decoder checks them instead.
  static let text: [String: Int] = [
    "quire.v1.Call.pool": 128,
    "quire.v1.MultimodalItem.identifier": 1024,
    "quire.v1.SequenceOptions.cache_salt": 1024,
    "quire.v1.SequenceOptions.lora_name": 1024,
    "quire.v1.SequenceOptions.lora_path": 4096,
    "quire.v1.SequenceOptions.label": 256,
    "quire.v1.ListSequencesRequest.page_token": 128,
    "quire.v1.CreatePoolRequest.name": 128,
    "quire.v1.LoadPoolRequest.name": 128,
    "quire.v1.PoolConfig.hash_seed": 1024,
    "quire.v1.ListPoolsRequest.page_token": 128,
  ]
}
