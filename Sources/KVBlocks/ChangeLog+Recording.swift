/// What the pool says to its log.
extension ChangeLog {
  // MARK: A command

  /// Memory that a list keeps from one command to the next.
  static let keptBytes = 1 << 20

  /// A command of this session begins.
  @inline(__always)
  func begin(_ session: SessionID) {
    self.session = session
    if entries.count > 0 { removeAll() }
  }

  /// O(1).
  func removeAll() {
    let isLarge = entries.count | blocks.count | contents.count | copies.count | children.count
    if isLarge >= Self.keptCount { return giveBack() }
    entries.removeAll()
    blocks.removeAll()
    contents.removeAll()
    copies.removeAll()
    children.removeAll()
  }

  /// A list with fewer elements takes less than what is kept.
  private static let keptCount = 1 << 12

  @inline(never)
  private func giveBack() {
    entries.removeAll(keepingAtMost: Self.keptBytes)
    blocks.removeAll(keepingAtMost: Self.keptBytes)
    contents.removeAll(keepingAtMost: Self.keptBytes)
    copies.removeAll(keepingAtMost: Self.keptBytes)
    children.removeAll(keepingAtMost: Self.keptBytes)
  }

  /// From here on it is of the pool with these tables; nil = of none.
  func follow(_ names: (sequences: SequenceTable, sessions: SessionTable)?) {
    removeAll()
    self.names = names.map {
      (.passUnretained($0.sequences), .passUnretained($0.sessions))
    }
  }

  @inline(__always)
  func owner(of holder: Holder) -> BlockOwner {
    guard let names else { return BlockOwner() }
    return BlockOwner(
      holder, names.sequences._withUnsafeGuaranteedRef { $0.slots },
      names.sessions._withUnsafeGuaranteedRef { $0.slots })
  }

  // MARK: Recording

  /// An entry about `count` blocks, from `first` on in steps of `stride`; one for each stretch of the
  /// same size class.
  @inline(never)
  func note(
    _ kind: Kind, _ cause: Cause = .none, by holder: Holder, _ first: UnsafePointer<BlockID>,
    _ count: Int, stride: Int = 1, of pool: BlockPool
  ) {
    if count == 0 { return }
    if pool.hasClasses { return noteByClass(kind, cause, holder, first, count, stride, pool) }
    entries.append(
      Entry(
        kind: kind, cause: cause, tier: pool.tier, sizeClass: 0, owner: owner(of: holder),
        count: UInt32(count), first: UInt32(blocks.count)))
    let room = blocks.extend(by: count)
    var place = first
    for i in 0..<count {
      room[i] = place.pointee
      place += stride
    }
  }

  private func noteByClass(
    _ kind: Kind, _ cause: Cause, _ holder: Holder, _ first: UnsafePointer<BlockID>, _ count: Int,
    _ stride: Int, _ pool: BlockPool
  ) {
    var last: UInt8?
    for i in 0..<count {
      let id = first[i * stride]
      if pool.sizeClass(of: id) != last {
        begin(kind, cause, owner(of: holder), pool.tier, pool.sizeClass(of: id))
      }
      last = pool.sizeClass(of: id)
      name(id)
    }
  }

  /// The same of the blocks from `first` on.
  func note(
    _ kind: Kind, _ cause: Cause, from first: BlockID, _ count: UInt32, of pool: BlockPool
  ) {
    for id in first..<first + count { note(kind, cause, by: .none, one: id, of: pool) }
  }

  /// One more block of the entry at hand if that is of the same, else of a new one.
  func note(_ kind: Kind, _ cause: Cause, by holder: Holder, one id: BlockID, of pool: BlockPool) {
    add(kind, cause, owner(of: holder), pool.tier, pool.sizeClass(of: id))
    name(id)
  }

  /// Of a log of contents alone the owner is nobody: it would cost as much as the rest.
  @inline(never)
  func noteEvicted(
    _ id: BlockID, _ hash: BlockHash, copies: UInt32, _ cause: Cause, for holder: Holder,
    of pool: BlockPool
  ) {
    reserve()
    let owner = pool.logsReferences ? owner(of: holder) : BlockOwner()
    let sizeClass = pool.sizeClass(of: id)
    if goesOn(.evicted, cause, owner, pool.tier, sizeClass) {
      return addContent(of: id, hash, copies)
    }
    addContent(
      of: id, hash, copies,
      by: Entry(
        kind: .evicted, cause: cause, tier: pool.tier, sizeClass: sizeClass, owner: owner, count: 1,
        first: UInt32(truncatingIfNeeded: blocks.count),
        firstDetail: UInt32(truncatingIfNeeded: contents.count), details: 1))
  }

  /// The first block of a caching call, or of what is left of it behind a hole. `parent`: of the block before
  /// it, as long as its own; nil where it begins its prefix.
  @inline(__always)
  func beginStored(
    _ id: BlockID, _ hash: BlockHash, copies: UInt32, by owner: BlockOwner, at tableIndex: UInt32,
    parent: UnsafePointer<UInt8>?, _ hashBytes: Int, _ pool: BlockPool
  ) {
    reserve()
    if let parent {
      contents.appendWithin(Content(hash: BlockHash(parent, hashBytes), copies: 0))
    }
    addContent(
      of: id, hash, copies,
      by: Entry(
        kind: .stored, cause: .none, tier: pool.tier, sizeClass: pool.sizeClass(of: id),
        owner: owner, tableIndex: tableIndex, count: 1,
        first: UInt32(truncatingIfNeeded: blocks.count),
        firstDetail: UInt32(truncatingIfNeeded: contents.count), details: 1,
        hasParent: parent != nil))
  }

  /// The block behind the one before.
  func goOnStored(_ id: BlockID, _ hash: BlockHash, copies: UInt32) {
    reserve()
    addContent(of: id, hash, copies)
  }

  /// A copy that was ordered, or of a move that was made.
  func note(
    _ kind: Kind, _ cause: Cause, _ owner: BlockOwner, _ copy: CopyOrder, of pool: BlockPool
  ) {
    add(kind, cause, owner, .device, pool.sizeClass(of: copy.deviceBlock))
    if cause == .swapOut || cause == .swapIn {
      name(copy.deviceBlock)
    } else {
      name(copy.source)
      name(copy.target)
    }
    copies.append(copy)
    last.pointee.details += 1
  }

  func noteFork(of parent: Holder, _ ids: UnsafeBufferPointer<SequenceID>, sizeClass: UInt8) {
    begin(.sequenceForked, .none, owner(of: parent), .device, sizeClass)
    for id in ids { children.append(id) }
    last.pointee.details = UInt32(ids.count)
  }

  func noteCleared(_ cause: Cause) { begin(.cleared, cause, BlockOwner(), .device, 0) }

  // MARK: Lists

  /// Where there is one.
  @inline(__always)
  private var last: UnsafeMutablePointer<Entry> { entries.base + (entries.count &- 1) }

  /// Room for one more entry about a content and the one before it: asked for once, so that what follows is
  /// written straight.
  @inline(__always)
  private func reserve() {
    if !entries.hasRoom(for: 1) || !blocks.hasRoom(for: 1) || !contents.hasRoom(for: 2) { grow() }
  }

  @inline(never)
  private func grow() {
    entries.grow(to: entries.count + 1)
    blocks.grow(to: blocks.count + 1)
    contents.grow(to: contents.count + 2)
  }

  private func begin(
    _ kind: Kind, _ cause: Cause, _ owner: BlockOwner, _ tier: Tier, _ sizeClass: UInt8
  ) {
    var entry = Entry(
      kind: kind, cause: cause, tier: tier, sizeClass: sizeClass, owner: owner,
      first: UInt32(blocks.count))
    switch kind {
    case .copied, .moveOrdered, .moved: entry.firstDetail = UInt32(copies.count)
    case .sequenceForked: entry.firstDetail = UInt32(children.count)
    default: break
    }
    entries.append(entry)
  }

  private func add(
    _ kind: Kind, _ cause: Cause, _ owner: BlockOwner, _ tier: Tier, _ sizeClass: UInt8
  ) {
    if !goesOn(kind, cause, owner, tier, sizeClass) { begin(kind, cause, owner, tier, sizeClass) }
  }

  /// Whether the entry at hand is of the same.
  @inline(__always)
  private func goesOn(
    _ kind: Kind, _ cause: Cause, _ owner: BlockOwner, _ tier: Tier, _ sizeClass: UInt8
  ) -> Bool {
    entries.count > 0 && last.pointee.kind == kind && last.pointee.cause == cause
      && last.pointee.tier == tier && last.pointee.sizeClass == sizeClass
      && last.pointee.owner == owner
  }

  private func name(_ id: BlockID) {
    blocks.append(id)
    last.pointee.count += 1
  }

  /// The first of an entry. There is room for it.
  @inline(__always)
  private func addContent(
    of id: BlockID, _ hash: BlockHash, _ copies: UInt32, by entry: Entry
  ) {
    entries.appendWithin(entry)
    blocks.appendWithin(id)
    contents.appendWithin(Content(hash: hash, copies: copies))
  }

  /// One more of the entry at hand. There is room for it.
  @inline(__always)
  private func addContent(of id: BlockID, _ hash: BlockHash, _ copies: UInt32) {
    blocks.appendWithin(id)
    contents.appendWithin(Content(hash: hash, copies: copies))
    last.pointee.count &+= 1
    last.pointee.details &+= 1
  }
}

extension CopyOrder {
  /// Its end on the device; of two the source.
  fileprivate var deviceBlock: BlockID { kind == .swapIn ? target : source }
}

extension BlockPool {
  @inline(__always)
  func sizeClass(of id: BlockID) -> UInt8 { records[Int(id)].sizeClass }
}
