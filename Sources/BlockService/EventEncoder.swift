internal import BlockHashing
internal import BlockMessages
package import KVBlocks

/// Makes events of what a change log says, once for all who want them.
///
/// The order is the log's, which is vLLM's: what an allocation removes comes before what it stores.
/// Removed is what no block has any more; of other content that went, `copies_removed` tells those who
/// follow blocks. What a reset of the prefix cache takes is told by `cleared` alone.
struct EventEncoder: ~Copyable {
  /// Blocks of one event at most, and bytes of token ids: an event fits any batch.
  private static let mostBlocks = 1_024
  private static let mostTokenBytes = 64 << 10
  /// Children of one event: each takes 10 bytes at most.
  private static let mostChildren = 4_096

  /// The events of the batch at hand: as fields of a `KvEventBatch`.
  private(set) var bytes = FlatList<UInt8>(minimumCapacity: 4_096)
  private(set) var contents: EventContents = []

  private var packer = MessagePacker()
  private var hashes = FlatList<UInt8>(minimumCapacity: 1_024)
  private var ids = FlatList<UInt32>(minimumCapacity: 64)
  private var counts = FlatList<UInt32>(minimumCapacity: 64)
  /// What moved, by the moves of the log, last first. Only while a log has some.
  private var movedHashes: [BlockHash?] = []

  /// Whether the log may have something to tell. O(entries).
  static func hasEvents(_ log: ChangeLog) -> Bool {
    let entries = log.entries.base
    for i in 0..<log.entries.count {
      switch entries[i].kind {
      case .stored, .evicted, .cleared, .sequenceForked, .copied, .moved: return true
      case .handedOut, .hit, .shared, .released, .moveOrdered, .pinned, .unpinned, .lazilyFreed,
        .flushed:
        continue
      }
    }
    return false
  }

  /// Calls `close` with each batch that is full, and with the last one unless it is empty; what it is
  /// given is in `bytes` and `contents`.
  mutating func encode(
    _ log: ChangeLog, of pool: KVPool, largest: Int, close: (inout EventEncoder) -> Void
  ) {
    let entries = log.entries.count
    findMovedHashes(log, pool)
    for i in 0..<entries {
      let entry = log.entries[i]
      switch entry.kind {
      case .stored: stored(entry, log, pool, largest, close)
      case .evicted: removed(entry, log, pool, largest, close)
      case .cleared:
        begin()
        packer.clearedEvent(cause: entry.cause == .reset ? .resetPrefixCache : .resetPool)
        end(largest, [], close)
      case .sequenceForked:
        forked(entry, log.children(of: entry), largest, close)
      case .copied:
        for copy in log.copies(of: entry) {
          begin()
          packer.copiedEvent(session: entry.owner.session, CopyOrderFields(copy))
          end(largest, .moreKinds, close)
        }
      case .moved: moved(entry, log, pool, largest, close)
      case .handedOut, .hit, .shared, .released, .moveOrdered, .pinned, .unpinned, .lazilyFreed,
        .flushed:
        break
      }
    }
    movedHashes.removeAll()
    flush(close)
  }

  /// One event of a batch of its own.
  mutating func encode(cleared cause: EventCause, close: (inout EventEncoder) -> Void) {
    begin()
    packer.clearedEvent(cause: cause)
    end(.max, [], close)
    flush(close)
  }

  private mutating func begin() { packer.reset() }

  /// Adds the packed event; where the batch would be too large with it, to a new one.
  private mutating func end(
    _ largest: Int, _ contents: EventContents, _ close: (inout EventEncoder) -> Void
  ) {
    precondition(packer.byteCount <= largest, "an event that is larger than any batch")
    if bytes.count > 0 && bytes.count + packer.byteCount > largest { flush(close) }
    packer.copy(to: bytes.extend(by: packer.byteCount))
    self.contents.formUnion(contents)
  }

  private mutating func flush(_ close: (inout EventEncoder) -> Void) {
    if bytes.count > 0 { close(&self) }
    bytes.removeAll()
    contents = []
  }

  // MARK: Kinds

  private mutating func stored(
    _ entry: ChangeLog.Entry, _ log: ChangeLog, _ pool: KVPool, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    let all = log.contents(of: entry)
    let blocks = log.blocks(of: entry)
    let size = pool.blockSize(ofClass: entry.sizeClass)
    let tokens = pool.tokenIDs(stored: entry, log)
    let lora = pool.loraName(stored: entry)
    let most =
      tokens.count > 0
      ? max(1, min(Self.mostBlocks, Self.mostTokenBytes / (4 * Int(size)))) : Self.mostBlocks
    let isShort = 4 * Int(size) <= Self.mostTokenBytes
    var parent = log.parent(of: entry)
    var start = 0
    while start < all.count {
      let end = min(start + most, all.count)
      let hashBytes = pool.configuration.hashBytes
      hashes.removeAll()
      for i in start..<end { Self.add(all[i].hash, hashBytes, to: &hashes) }
      let part =
        tokens.count > 0 && isShort
        ? UnsafeBufferPointer(rebasing: tokens[start * Int(size)..<end * Int(size)])
        : UnsafeBufferPointer(start: nil, count: 0)
      begin()
      Self.withBytes(of: parent, hashBytes) { parent in
        packer.storedEvent(
          hashes: UnsafeRawBufferPointer(hashes.elements), parent: parent, tokenIDs: part,
          blockSize: size, blockIDs: UnsafeBufferPointer(rebasing: blocks[start..<end]),
          loraName: lora, session: entry.owner.session,
          sizeClass: Self.number(entry.sizeClass, pool))
      }
      self.end(largest, part.count > 0 ? .tokenIDs : [], close)
      parent = all[end - 1].hash
      start = end
    }
  }

  private mutating func removed(
    _ entry: ChangeLog.Entry, _ log: ChangeLog, _ pool: KVPool, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    if entry.cause == .reset { return }
    let contents = log.contents(of: entry)
    var others = 0
    for content in contents where content.copies > 0 { others += 1 }
    // Of a content that goes with several blocks the last one is the last that is told.
    if others > 0 { removed(entry, log, pool, .copiesRemoved, largest, close) }
    if others < contents.count { removed(entry, log, pool, .removed, largest, close) }
  }

  /// The last copies of the entry's contents, or the others.
  private mutating func removed(
    _ entry: ChangeLog.Entry, _ log: ChangeLog, _ pool: KVPool, _ kind: EventKind, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    let isOfCopies =
      switch kind {
      case .copiesRemoved: true
      default: false
      }
    let contents = log.contents(of: entry)
    let blocks = log.blocks(of: entry)
    let hashBytes = pool.configuration.hashBytes
    var i = 0
    while i < contents.count {
      hashes.removeAll()
      ids.removeAll()
      counts.removeAll()
      while i < contents.count && ids.count < Self.mostBlocks {
        if (contents[i].copies > 0) == isOfCopies {
          Self.add(contents[i].hash, hashBytes, to: &hashes)
          ids.append(blocks[i])
          if isOfCopies { counts.append(contents[i].copies) }
        }
        i += 1
      }
      if ids.count == 0 { return }
      begin()
      packer.removedEvent(
        kind, hashes: UnsafeRawBufferPointer(hashes.elements), blockIDs: ids.elements,
        remainingCopies: counts.elements, cause: Self.cause(entry.cause),
        sizeClass: Self.number(entry.sizeClass, pool))
      end(largest, kind == .removed ? [] : .moreKinds, close)
    }
  }

  /// An event for each so many children.
  private mutating func forked(
    _ entry: ChangeLog.Entry, _ children: UnsafeBufferPointer<UInt64>, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    var start = 0
    while start < children.count {
      let end = min(start + Self.mostChildren, children.count)
      begin()
      packer.forkedEvent(
        session: entry.owner.session, parentID: entry.owner.sequence,
        childIDs: UnsafeBufferPointer(rebasing: children[start..<end]))
      self.end(largest, .moreKinds, close)
      start = end
    }
  }

  private mutating func moved(
    _ entry: ChangeLog.Entry, _ log: ChangeLog, _ pool: KVPool, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    for copy in log.copies(of: entry) {
      let hash = entry.cause == .defragment ? movedHashes.popLast() ?? nil : nil
      begin()
      Self.withBytes(of: hash, pool.configuration.hashBytes) {
        packer.movedEvent(
          session: entry.owner.session, CopyOrderFields(copy), hash: $0,
          cause: Self.cause(entry.cause))
      }
      end(largest, .moreKinds, close)
    }
  }

  /// The pool says what blocks have after the command; what they had when they were moved follows from
  /// that and from what came behind, backwards.
  private mutating func findMovedHashes(_ log: ChangeLog, _ pool: KVPool) {
    let entries = log.entries.elements
    var moves = false
    for entry in entries {
      // Comparing a value of another module would be a call.
      if case .moved = entry.kind, case .defragment = entry.cause { moves = true }
    }
    if !moves { return }
    var had: [BlockID: BlockHash?] = [:]
    for entry in entries.reversed() {
      switch entry.kind {
      case .evicted:
        for (id, content) in zip(log.blocks(of: entry), log.contents(of: entry)).reversed() {
          had[id] = .some(content.hash)
        }
      case .stored: for id in log.blocks(of: entry) { had[id] = .some(nil) }
      case .moved where entry.cause == .defragment:
        for copy in log.copies(of: entry).reversed() {
          let hash = had[copy.target] ?? pool.content(copy.target)
          movedHashes.append(hash)
          had[copy.source] = .some(hash)
          had[copy.target] = .some(nil)
        }
      default: break
      }
    }
  }

  // MARK: Parts

  private static func add(_ hash: BlockHash, _ byteCount: Int, to list: inout FlatList<UInt8>) {
    let room = UnsafeMutableRawPointer(list.extend(by: byteCount))
    withUnsafeBytes(of: hash.words) {
      room.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: byteCount)
    }
  }

  private static func withBytes(
    of hash: BlockHash?, _ byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Void
  ) {
    guard let hash else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    withUnsafeBytes(of: hash.words) { body(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
  }

  /// The number of a size class as clients know it.
  private static func number(_ index: UInt8, _ pool: KVPool) -> UInt32 {
    pool.configuration.sizeClasses.isEmpty ? 0 : UInt32(index) + 1
  }

  private static func cause(_ cause: ChangeLog.Cause) -> EventCause {
    switch cause {
    case .handOut: .allocation
    case .ahead: .ahead
    case .request: .request
    case .overwrite: .overwrite
    case .rewind: .rewind
    case .defragment: .defragment
    case .swapOut: .swapOut
    case .swapIn: .swapIn
    case .reset: .resetPrefixCache
    case .pool: .resetPool
    case .none, .free, .preemption, .window, .copy, .rounding, .prefix, .acknowledgement:
      .unspecified
    }
  }
}

extension KVPool {
  /// The LoRA of the sequence whose blocks were stored, UTF-8; empty = none, or not known any more.
  package func loraName(stored entry: ChangeLog.Entry) -> UnsafeRawBufferPointer {
    let keys = UnsafeRawBufferPointer(extraKeys(stored: entry))
    return keys.isEmpty ? keys : ExtraKeysView(keys).loraName
  }
}
