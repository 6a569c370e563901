import KVBlocks

/// What can be kept of a pool from its change log alone, beside a look at every block.
///
/// What a block is is read where the log names it, and nowhere else. References and contents are not
/// even read: they are counted from the entries, in their order.
struct ChangeMirror {
  struct Seen: Equatable {
    var view: BlockView
    var mark: BlockMark
    /// Of the device.
    var owner = BlockOwner()
  }

  /// A content, by the first word of its hash, in its size class.
  struct Content: Hashable {
    var hash: UInt64
    var sizeClass: UInt8
  }

  struct Block {
    var tier: Tier
    var id: BlockID
  }

  /// Blocks of the device.
  private let device: Int
  private let blocks: [Block]
  /// By `place`.
  private var seen: [Seen] = []
  private var references: [Int]
  private var contents: [BlockID: Content] = [:]
  private var copies: [Content: Int] = [:]
  /// What can be hit, by `stored`, by `evicted` where no copy is left, and by `cleared`.
  private var hittable: Set<Content> = []
  /// Entries met.
  private(set) var kinds: [ChangeLog.Kind: Int] = [:]
  private(set) var causes: [ChangeLog.Cause: Int] = [:]

  /// Of a new pool.
  init(_ pool: KVPool) {
    device = Int(pool.configuration.blocks)
    let host = Int(pool.configuration.hostBlocks)
    blocks =
      (0..<device).map { Block(tier: .device, id: BlockID($0 + 1)) }
      + (0..<host).map { Block(tier: .host, id: BlockID($0 + 1)) }
    references = Array(repeating: 0, count: device + host)
    seen = blocks.map { _ in Self.new }
  }

  private func place(_ id: BlockID, _ tier: Tier) -> Int {
    Int(id) - 1 + (tier == .host ? device : 0)
  }

  private static let new = Seen(
    view: BlockView(state: .free, refCount: 0, generation: 0, pins: 0), mark: .free)

  private static func look(_ block: Block, _ pool: KVPool) -> Seen {
    block.tier == .device
      ? Seen(
        view: pool.block(block.id), mark: pool.mark(of: block.id), owner: pool.owner(of: block.id))
      : Seen(view: pool.hostBlock(block.id), mark: pool.mark(of: block.id, on: .host))
  }

  /// After a command. Returns what the log left out or has too much; nil when it is right.
  mutating func follow(_ log: ChangeLog, _ pool: KVPool, changed: Bool) -> String? {
    if !changed && !log.isEmpty { return "the log has entries and nothing changed" }
    var named: Set<Int> = []
    for entry in log.entries.elements {
      kinds[entry.kind, default: 0] += 1
      causes[entry.cause, default: 0] += 1
      for id in log.blocks(of: entry) { named.insert(place(id, entry.tier)) }
      if let wrong = replay(entry, log) { return "\(entry): \(wrong)" }
    }
    for place in named { seen[place] = Self.look(blocks[place], pool) }
    for (place, block) in blocks.enumerated() {
      let now = Self.look(block, pool)
      if seen[place] != now {
        return "\(block) was not named: \(now) instead of \(seen[place])"
      }
      if references[place] != Int(now.view.refCount) {
        return "\(block): \(references[place]) references by the log, \(now)"
      }
      if now.mark.state != now.view.state || now.mark.isPinned != (now.view.pins > 0) {
        return "\(block) has another mark than state"
      }
      if block.tier == .host { continue }
      if pool.content(block.id)?.words.0 != contents[block.id]?.hash
        || now.mark.hasContent != (contents[block.id] != nil)
      {
        return "\(block) holds otherwise by the log"
      }
    }
    if hittable != Set(contents.values) { return "other contents can be hit by the log" }
    return Self.differentFill(pool)
  }

  private mutating func replay(_ entry: ChangeLog.Entry, _ log: ChangeLog) -> String? {
    let ids = Array(log.blocks(of: entry))
    func count(_ change: Int) {
      for id in ids { references[place(id, entry.tier)] += change }
    }
    switch entry.kind {
    case .handedOut:
      for id in ids {
        if references[place(id, entry.tier)] != 0 { return "\(id) was held" }
        if entry.tier == .device && contents[id] != nil { return "\(id) was not evicted" }
      }
      count(1)
    case .hit:
      for id in ids where contents[id] == nil { return "\(id) had no content" }
      count(1)
    case .shared: count(1)
    case .released: count(-1)
    case .evicted: return forget(ids, Array(log.contents(of: entry)), entry)
    case .stored: return store(ids, Array(log.contents(of: entry)), entry, log)
    case .cleared:
      hittable = []
      if entry.cause == .pool {
        contents = [:]
        copies = [:]
        references = references.map { _ in 0 }
        seen = seen.map { _ in Self.new }
      }
      if !contents.isEmpty { return "content was left" }
    case .moved: return move(ids, entry, log)
    case .copied, .moveOrdered:
      let copies = log.copies(of: entry)
      if ids != copies.flatMap({ [$0.source, $0.target] }) { return "names other blocks" }
    case .pinned:
      for id in ids where contents[id] == nil { return "\(id) has no content" }
    case .unpinned, .sequenceForked, .lazilyFreed, .flushed: break
    }
    return nil
  }

  private mutating func forget(
    _ ids: [BlockID], _ lost: [ChangeLog.Content], _ entry: ChangeLog.Entry
  ) -> String? {
    if lost.count != ids.count { return "\(lost.count) contents" }
    for (id, content) in zip(ids, lost) {
      let key = Content(hash: content.hash.words.0, sizeClass: entry.sizeClass)
      if contents.removeValue(forKey: id) != key { return "\(id) had other content" }
      copies[key, default: 0] -= 1
      if Int(content.copies) != copies[key] { return "\(content.copies) copies are left" }
      if content.copies == 0 { hittable.remove(key) }
    }
    return nil
  }

  private mutating func store(
    _ ids: [BlockID], _ new: [ChangeLog.Content], _ entry: ChangeLog.Entry, _ log: ChangeLog
  ) -> String? {
    if new.count != ids.count || ids.isEmpty { return "\(new.count) contents" }
    if log.parent(of: entry) == nil && entry.owner.kind == .sequence && entry.tableIndex > 0 {
      return "has no parent"
    }
    for (id, content) in zip(ids, new) {
      let key = Content(hash: content.hash.words.0, sizeClass: entry.sizeClass)
      if contents.updateValue(key, forKey: id) != nil { return "\(id) had content" }
      copies[key, default: 0] += 1
      if Int(content.copies) != copies[key] { return "\(content.copies) copies are there" }
      hittable.insert(key)
    }
    return nil
  }

  private mutating func move(
    _ ids: [BlockID], _ entry: ChangeLog.Entry, _ log: ChangeLog
  ) -> String? {
    let copies = log.copies(of: entry)
    if entry.cause != .defragment {
      let ends = copies.map { entry.cause == .swapOut ? $0.source : $0.target }
      return ids == ends ? nil : "names other blocks"
    }
    if ids != copies.flatMap({ [$0.source, $0.target] }) { return "names other blocks" }
    for copy in copies {
      let source = place(copy.source, .device)
      let target = place(copy.target, .device)
      if references[target] != 0 || contents[copy.target] != nil { return "the target is in use" }
      references[target] = references[source]
      references[source] = 0
      contents[copy.target] = contents.removeValue(forKey: copy.source)
    }
    return nil
  }

  // MARK: What is read of tables

  /// `fill` and `nextTail` beside the tables of all sequences; nil where they agree.
  private static func differentFill(_ pool: KVPool) -> String? {
    var fills: [BlockID: BlockFill] = [:]
    var tails: [SequenceTail] = []
    var cursor: UInt32 = 0
    while let (view, next) = pool.nextSequence(from: cursor, state: .running) {
      cursor = next
      let classes = pool.configuration.sizeClasses
      let size = Int(
        classes.isEmpty
          ? pool.configuration.blockSize : classes[Int(view.sizeClass) - 1].blockSize)
      var tail = SequenceTail(
        session: view.session, sequence: view.sequence, block: 0, filledSlots: 0,
        blockSize: UInt32(size), blocks: 0, emptyBlocks: 0)
      for (i, block) in view.blocks.enumerated() {
        let filled = min(max(Int(view.computedTokens) - i * size, 0), size)
        if filled == 0 { tail.emptyBlocks += 1 }
        if filled > 0 && filled < size { (tail.block, tail.filledSlots) = (block, UInt32(filled)) }
        if block == 0 { continue }
        tail.blocks += 1
        fills[block] = filled == 0 ? .empty : filled < size ? .partly : .full
      }
      tails.append(tail)
    }
    var read: [SequenceTail] = []
    cursor = 0
    while let (tail, next) = pool.nextTail(from: cursor) {
      cursor = next
      read.append(tail)
    }
    if read != tails { return "tails: \(read) instead of \(tails)" }
    for id in 1...pool.configuration.blocks {
      let expected: BlockFill =
        pool.content(id) != nil
        ? .full : pool.mark(of: id).holder == .sequence ? fills[id] ?? .unknown : .unknown
      if pool.fill(of: id) != expected { return "block \(id) is \(pool.fill(of: id))" }
    }
    return nil
  }
}
