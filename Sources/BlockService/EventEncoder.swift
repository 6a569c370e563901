internal import BlockHashing
internal import BlockMessages
internal import CMemoryHints
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
  /// Of a removal of some of an entry's contents.
  private var hashes = FlatList<BlockHash>(minimumCapacity: 32)
  private var ids = FlatList<UInt32>(minimumCapacity: 64)
  private var counts = FlatList<UInt32>(minimumCapacity: 64)
  /// What moved, by the moves of the log, last first. Only while a log has some.
  private var movedHashes: [BlockHash?]?

  /// Calls `close` with each batch that is full, and with the last one unless it is empty; what it is
  /// given is in `bytes` and `contents`. `place`: where the first batch will be copied to, its events behind so many
  /// bytes; only a hint, by which that memory is fetched.
  mutating func encode(
    _ log: ChangeLog, of pool: KVPool, largest: Int, goingTo place: UnsafeRawPointer,
    behind headerBytes: Int, close: (inout EventEncoder) -> Void
  ) {
    cmemory_prefetch_to_write(place, headerBytes)
    let lists = log.lists
    let shape = Shape(pool)
    var i = 0
    while true {
      i = addShort(lists, from: i, shape, largest, place + headerBytes)
      if i == lists.entries.count { break }
      add(lists.entries[i], lists, log, pool, shape, largest, close)
      i += 1
    }
    movedHashes = nil
    flush(close)
  }

  /// The events of entries about one block each, which is what most are, from `first` on: as long as they
  /// have nothing unusual and fit the batch. Returns the index of the entry that does not.
  private mutating func addShort(
    _ lists: ChangeLog.Lists, from first: Int, _ shape: Shape, _ largest: Int,
    _ destination: UnsafeRawPointer
  ) -> Int {
    let most = min(
      lists.entries.count - first, (largest - bytes.count) / OneBlockEvents.mostBytes)
    guard shape.isPlain, most > 0, let base = lists.entries.baseAddress else { return first }
    let room = UnsafeMutableRawPointer(bytes.extend(by: most * OneBlockEvents.mostBytes))
    var place = room
    var fetched = destination + (bytes.count - most * OneBlockEvents.mostBytes)
    var entry = base + first
    let end = entry + most
    while entry < end && entry.pointee.count == 1 && entry.pointee.details == 1 {
      let content = lists.contents + Int(entry.pointee.firstDetail)
      let id = lists.blocks[Int(entry.pointee.first)]
      var count = 0
      switch entry.pointee.kind {
      case .stored:
        count = shape.ofOneBlock.writeStored(
          hash: content, parent: entry.pointee.hasParent ? UnsafeRawPointer(content - 1) : nil,
          blockSize: shape.blockSize, blockID: id, session: entry.pointee.owner.session, to: place)
      case .evicted where content.pointee.copies == 0:
        guard let cause = Self.removalCause(entry.pointee.cause) else { break }
        count = shape.ofOneBlock.writeRemoved(hash: content, blockID: id, cause: cause, to: place)
      default: break
      }
      if count == 0 { break }
      // The lines of one event each time: all at once would wait for one another. Where they are not fetched, the
      // first atomic operation behind the copy waits for all of them.
      cmemory_prefetch_to_write(fetched, count)
      fetched += count
      place += count
      entry += 1
    }
    bytes.removeLast(most * OneBlockEvents.mostBytes - (place - room))
    return entry - base
  }

  /// The events of any entry.
  @inline(never)
  private mutating func add(
    _ entry: ChangeLog.Entry, _ lists: ChangeLog.Lists, _ log: ChangeLog, _ pool: KVPool,
    _ shape: Shape, _ largest: Int, _ close: (inout EventEncoder) -> Void
  ) {
    switch entry.kind {
    case .stored: stored(entry, lists, log, pool, shape, largest, close)
    case .evicted: removed(entry, lists, shape, largest, close)
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
    packer.copy(to: room(for: packer.byteCount, largest, contents, close))
  }

  /// Room for one more event, which the caller fills.
  private mutating func room(
    for byteCount: Int, _ largest: Int, _ contents: EventContents,
    _ close: (inout EventEncoder) -> Void
  ) -> UnsafeMutableRawPointer {
    precondition(byteCount <= largest, "an event that is larger than any batch")
    if bytes.count > 0 && bytes.count + byteCount > largest { flush(close) }
    self.contents.formUnion(contents)
    return UnsafeMutableRawPointer(bytes.extend(by: byteCount))
  }

  private mutating func flush(_ close: (inout EventEncoder) -> Void) {
    if bytes.count > 0 { close(&self) }
    bytes.removeAll()
    contents = []
  }

  // MARK: Kinds

  /// What is the same for all entries of a log.
  private struct Shape {
    let hashBytes: Int
    let blockSize: UInt32
    let hasClasses: Bool
    /// Stored blocks may have token ids or a LoRA.
    let tellsMore: Bool
    /// Neither that nor size classes.
    let isPlain: Bool
    let ofOneBlock: OneBlockEvents

    init(_ pool: KVPool) {
      hashBytes = pool.configuration.hashBytes
      blockSize = pool.configuration.blockSize
      hasClasses = !pool.configuration.sizeClasses.isEmpty
      tellsMore = pool.keepsWhatWasStored
      isPlain = !hasClasses && !tellsMore
      ofOneBlock = OneBlockEvents(hashBytes: hashBytes)
    }

    /// The number of a size class as clients know it.
    func number(ofClass index: UInt8) -> UInt32 { hasClasses ? UInt32(index) + 1 : 0 }

    func column(_ contents: UnsafePointer<ChangeLog.Content>, _ count: Int) -> HashColumn {
      HashColumn(
        UnsafeRawPointer(contents), count: count, stride: MemoryLayout<ChangeLog.Content>.stride,
        hashBytes: hashBytes)
    }
  }

  private mutating func stored(
    _ entry: ChangeLog.Entry, _ lists: ChangeLog.Lists, _ log: ChangeLog, _ pool: KVPool,
    _ shape: Shape, _ largest: Int, _ close: (inout EventEncoder) -> Void
  ) {
    let all = Int(entry.details)
    let contents = lists.contents + Int(entry.firstDetail)
    let blocks = lists.blocks + Int(entry.first)
    let size = shape.hasClasses ? pool.blockSize(ofClass: entry.sizeClass) : shape.blockSize
    var tokens = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    var lora = UnsafeRawBufferPointer(start: nil, count: 0)
    if shape.tellsMore {
      // Of blocks that are too large for an event with them there are none.
      if 4 * Int(size) <= Self.mostTokenBytes { tokens = pool.tokenIDs(stored: entry, log) }
      lora = pool.loraName(stored: entry)
    }
    let most =
      tokens.count > 0
      ? max(1, min(Self.mostBlocks, Self.mostTokenBytes / (4 * Int(size)))) : Self.mostBlocks
    var start = 0
    while start < all {
      let end = min(start + most, all)
      let part =
        tokens.count > 0
        ? UnsafeBufferPointer(rebasing: tokens[start * Int(size)..<end * Int(size)]) : tokens
      let event = StoredEvent(
        hashes: shape.column(contents + start, end - start),
        parent: start > 0 || entry.hasParent ? UnsafeRawPointer(contents + (start - 1)) : nil,
        tokenIDs: part, blockSize: size,
        blockIDs: UnsafeBufferPointer(start: blocks + start, count: end - start), loraName: lora,
        session: entry.owner.session, sizeClass: shape.number(ofClass: entry.sizeClass))
      event.write(
        to: room(for: event.byteCount, largest, part.count > 0 ? .tokenIDs : [], close))
      start = end
    }
  }

  private mutating func removed(
    _ entry: ChangeLog.Entry, _ lists: ChangeLog.Lists, _ shape: Shape, _ largest: Int,
    _ close: (inout EventEncoder) -> Void
  ) {
    guard let cause = Self.removalCause(entry.cause) else { return }
    let contents = UnsafeBufferPointer(
      start: lists.contents + Int(entry.firstDetail), count: Int(entry.details))
    let blocks = lists.blocks + Int(entry.first)
    var others = 0
    for content in contents where content.copies > 0 { others += 1 }
    // Of a content that goes with several blocks the last one is the last that is told.
    if others > 0 { removed(entry, contents, blocks, shape, .copiesRemoved, cause, largest, close) }
    if others == contents.count { return }
    if others > 0 || contents.count > Self.mostBlocks {
      return removed(entry, contents, blocks, shape, .removed, cause, largest, close)
    }
    let event = RemovedEvent(
      .removed, hashes: shape.column(lists.contents + Int(entry.firstDetail), contents.count),
      blockIDs: UnsafeBufferPointer(start: blocks, count: contents.count),
      remainingCopies: UnsafeBufferPointer(start: nil, count: 0), cause: cause,
      sizeClass: shape.number(ofClass: entry.sizeClass))
    event.write(to: room(for: event.byteCount, largest, [], close))
  }

  /// The last copies of the entry's contents, or the others.
  private mutating func removed(
    _ entry: ChangeLog.Entry, _ contents: UnsafeBufferPointer<ChangeLog.Content>,
    _ blocks: UnsafePointer<BlockID>, _ shape: Shape, _ kind: EventKind, _ cause: EventCause,
    _ largest: Int, _ close: (inout EventEncoder) -> Void
  ) {
    let isOfCopies =
      switch kind {
      case .copiesRemoved: true
      default: false
      }
    var i = 0
    while i < contents.count {
      hashes.removeAll()
      ids.removeAll()
      counts.removeAll()
      while i < contents.count && ids.count < Self.mostBlocks {
        if (contents[i].copies > 0) == isOfCopies {
          hashes.append(contents[i].hash)
          ids.append(blocks[i])
          if isOfCopies { counts.append(contents[i].copies) }
        }
        i += 1
      }
      if ids.count == 0 { return }
      let event = RemovedEvent(
        kind,
        hashes: HashColumn(
          hashes.base, count: hashes.count, stride: MemoryLayout<BlockHash>.stride,
          hashBytes: shape.hashBytes),
        blockIDs: ids.elements, remainingCopies: counts.elements, cause: cause,
        sizeClass: shape.number(ofClass: entry.sizeClass))
      event.write(
        to: room(
          for: event.byteCount, largest, isOfCopies ? .moreKinds : [], close))
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
    let isDefragment = entry.cause == .defragment
    if isDefragment && movedHashes == nil { movedHashes = Self.movedHashes(log, pool) }
    for copy in log.copies(of: entry) {
      let hash = isDefragment ? movedHashes?.popLast() ?? nil : nil
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
  private static func movedHashes(_ log: ChangeLog, _ pool: KVPool) -> [BlockHash?] {
    var hashes: [BlockHash?] = []
    var had: [BlockID: BlockHash?] = [:]
    for entry in log.entries.elements.reversed() {
      switch entry.kind {
      case .evicted:
        for (id, content) in zip(log.blocks(of: entry), log.contents(of: entry)).reversed() {
          had[id] = .some(content.hash)
        }
      case .stored: for id in log.blocks(of: entry) { had[id] = .some(nil) }
      case .moved where entry.cause == .defragment:
        for copy in log.copies(of: entry).reversed() {
          let hash = had[copy.target] ?? pool.content(copy.target)
          hashes.append(hash)
          had[copy.source] = .some(hash)
          had[copy.target] = .some(nil)
        }
      default: break
      }
    }
    return hashes
  }

  // MARK: Parts

  private static func withBytes(
    of hash: BlockHash?, _ byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Void
  ) {
    guard let hash else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    withUnsafeBytes(of: hash.words) { body(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
  }

  /// nil: it is not told.
  private static func removalCause(_ cause: ChangeLog.Cause) -> EventCause? {
    switch cause {
    case .reset: nil
    default: Self.cause(cause)
    }
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
