internal import BlockService
internal import KVBlocks

/// How block hashes are written: vLLM has both, by `VLLM_KV_EVENTS_USE_INT_BLOCK_HASHES`.
package enum VLLMHashForm: String, Sendable, CaseIterable {
  /// The last 8 bytes as a number, big-endian: vLLM's default.
  case int
  /// All of the hash.
  case bytes
}

/// What a change log says as vLLM's `KVEventBatch`: an array of the time, the events and the rank, each
/// event a map with its `type` first, as msgspec encodes vLLM's classes.
///
/// As vLLM: an event `BlockStored` for each call that caches, an event `BlockRemoved` for each block, and
/// a reset as `AllBlocksCleared` alone. Other than vLLM: stored is what no block had before, and removed what
/// no block has any more. So consumers that count are right, as are those that do not.
final class VLLMEventEncoder {
  /// Of one event: with hashes of 32 bytes, tokens of 5 and a LoRA's name of 65,535 it takes less than
  /// 300 KB.
  private static let mostBlocks = 4_096
  private static let mostTokens = 16_384

  private let rank: UInt64
  private let form: VLLMHashForm
  private let events = MessagePackBuffer()
  private let batch = MessagePackBuffer()
  private var count = 0

  init(rank: UInt64, form: VLLMHashForm) {
    self.rank = rank
    self.form = form
  }

  /// Calls `close` with the bytes of each batch, borrowed: one, or as many as it takes to end each with
  /// the event that has it reach `largest` bytes; none where nothing is told.
  func encode(
    _ log: ChangeLog, of pool: KVPool, seconds: Double, largest: Int,
    close: (UnsafeRawBufferPointer) -> Void
  ) {
    for i in 0..<log.entries.count {
      let entry = log.entries[i]
      if entry.tier != .device { continue }
      switch entry.kind {
      case .stored: stored(entry, log, pool, seconds, largest, close)
      case .evicted:
        if entry.cause == .reset { continue }
        for content in log.contents(of: entry) where content.copies == 0 {
          removed(content.hash, pool)
          flush(seconds, close, from: largest)
        }
      case .cleared:
        cleared()
        flush(seconds, close, from: largest)
      default: continue
      }
    }
    flush(seconds, close)
  }

  /// A batch of one `AllBlocksCleared`.
  func encodeCleared(seconds: Double, close: (UnsafeRawBufferPointer) -> Void) {
    cleared()
    flush(seconds, close)
  }

  /// Closes the batch at hand where it has so many bytes of events.
  private func flush(
    _ seconds: Double, _ close: (UnsafeRawBufferPointer) -> Void, from least: Int = 0
  ) {
    if count == 0 || events.bytes.count < least { return }
    batch.removeAll()
    batch.array(3)
    batch.double(seconds)
    batch.array(count)
    batch.append(events)
    batch.number(rank)
    close(batch.bytes)
    events.removeAll()
    count = 0
  }

  // MARK: Events

  /// One event; of very many blocks, and where blocks between have what others had before, several, each
  /// after the one before it.
  private func stored(
    _ entry: ChangeLog.Entry, _ log: ChangeLog, _ pool: KVPool, _ seconds: Double, _ largest: Int,
    _ close: (UnsafeRawBufferPointer) -> Void
  ) {
    let contents = log.contents(of: entry)
    let size = Int(pool.blockSize(ofClass: entry.sizeClass))
    var tokens = pool.tokenIDs(stored: entry, log)
    if size > Self.mostTokens { tokens = .init(start: nil, count: 0) }
    let most = min(Self.mostBlocks, max(1, Self.mostTokens / size))
    let lora = pool.loraName(stored: entry)
    var parent = log.parent(of: entry)
    var start = 0
    while start < contents.count {
      if contents[start].copies > 1 {
        parent = contents[start].hash
        start += 1
        continue
      }
      var end = start + 1
      while end < contents.count && end - start < most && contents[end].copies == 1 { end += 1 }
      let ids = tokens.isEmpty ? tokens[...] : tokens[start * size..<end * size]
      stored(contents[start..<end], after: parent, ids, blockSize: size, lora, pool)
      // Each by itself: of one command there may be more than any ring keeps.
      flush(seconds, close, from: largest)
      parent = contents[end - 1].hash
      start = end
    }
  }

  private func stored(
    _ contents: Slice<UnsafeBufferPointer<ChangeLog.Content>>, after parent: BlockHash?,
    _ tokens: Slice<UnsafeBufferPointer<UInt32>>, blockSize: Int, _ lora: UnsafeRawBufferPointer,
    _ pool: KVPool
  ) {
    count += 1
    // msgspec does not look how many of a class's fields it leaves out before it has chosen the form: vLLM's
    // class has 15 and the type.
    events.wideMap(8)
    type("BlockStored")
    events.text("block_hashes")
    events.array(contents.count)
    for content in contents { hash(content.hash, pool) }
    events.text("parent_block_hash")
    if let parent { hash(parent, pool) } else { events.null() }
    events.text("token_ids")
    events.array(tokens.count)
    for token in tokens { events.number(UInt64(token)) }
    events.text("block_size")
    events.number(UInt64(blockSize))
    events.text("lora_id")
    events.null()
    medium()
    events.text("lora_name")
    if lora.isEmpty {
      events.null()
    } else {
      events.text(lora.assumingMemoryBound(to: UInt8.self))
    }
  }

  private func removed(_ hash: BlockHash, _ pool: KVPool) {
    count += 1
    events.map(3)
    type("BlockRemoved")
    events.text("block_hashes")
    events.array(1)
    self.hash(hash, pool)
    medium()
  }

  private func cleared() {
    count += 1
    events.map(1)
    type("AllBlocksCleared")
  }

  private func type(_ name: StaticString) {
    events.text("type")
    events.text(name)
  }

  private func medium() {
    events.text("medium")
    events.text("GPU")
  }

  private func hash(_ hash: BlockHash, _ pool: KVPool) {
    let count = pool.configuration.hashBytes
    withUnsafeBytes(of: hash.words) { all in
      switch form {
      case .bytes: events.bytes(UnsafeRawBufferPointer(rebasing: all[..<count]))
      case .int:
        let last = all.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self)
        events.number(UInt64(bigEndian: last))
      }
    }
  }
}
