/// The prefixes that sessions keep from eviction: who pinned what, until when, which blocks.
///
/// Owns the pins, the links between pins and blocks, a list of pins per session in the order they
/// were made, and the order in which those with a time-to-live end. Never pins or frees a block
/// itself, and knows no budget.
///
/// A pin is named by its session and by the content that was asked for: the number of blocks and the
/// hash of the last one. A block has one link for each pin that holds it.
final class PinTable {
  private(set) var pins: UnsafeMutablePointer<PrefixPin>
  private var capacity = 8
  private(set) var scalars = Scalars()
  private(set) var links: UnsafeMutablePointer<PinLink>
  private var linkCapacity = 16
  /// (fingerprint of the name, session slot) -> first pin of that fingerprint + 1.
  let names: WideMap
  /// (block, 0) -> its first link + 1.
  let heads: WideMap
  /// (block, session slot) -> links of the session's pins on the block.
  let holds: WideMap
  /// Pins with a time-to-live by (expiry, serial), each as its index + 1. Derived from the pins, so
  /// that a rollback rebuilds it if it must.
  let expiring = RankedHeap(capacity: 8, undo: nil)
  private var mustRebuild = false
  let sessions: SessionTable
  private let undo: UndoLog
  private let secret: MapSecret

  struct Scalars: BitwiseCopyable {
    var used: UInt32 = 0
    var count: UInt32 = 0
    var timed: UInt32 = 0
    var firstUnused = PrefixPin.none
    var usedLinks: UInt32 = 0
    var firstUnusedLink = PrefixPin.none
    var lastSerial: UInt64 = 0
  }

  init(sessions: SessionTable, undo: UndoLog, secret: MapSecret) {
    self.sessions = sessions
    self.undo = undo
    self.secret = secret
    names = WideMap(.pinNames, undo: undo, secret: secret)
    heads = WideMap(.pinHeads, undo: undo, secret: secret)
    holds = WideMap(.pinHolds, undo: undo, secret: secret)
    pins = .allocate(capacity: capacity)
    links = .allocate(capacity: linkCapacity)
  }

  deinit {
    pins.deallocate()
    links.deallocate()
  }

  func removeAll() {
    scalars = Scalars()
    names.removeAll()
    heads.removeAll()
    holds.removeAll()
    expiring.removeAll()
  }

  /// Pins of all sessions.
  var count: UInt32 { scalars.count }
  /// Of those, pins with a time-to-live.
  var timed: UInt32 { scalars.timed }
  var used: UInt32 { scalars.used }

  // MARK: Finding

  /// The session's pin of this name, or `PrefixPin.none`.
  func find(_ content: BlockHash, asked: UInt32, session: UInt32) -> UInt32 {
    var pin = names.value(fingerprint(content, asked), session) &- 1
    while pin != PrefixPin.none {
      if pins[Int(pin)].asked == asked && pins[Int(pin)].content == content { return pin }
      pin = pins[Int(pin)].nextAlike
    }
    return PrefixPin.none
  }

  /// Clients name content by hashes of their own making, so the secret spreads them, as it does in
  /// the index: whoever knew how could choose thousands with one fingerprint.
  private func fingerprint(_ content: BlockHash, _ asked: UInt32) -> UInt64 {
    content.fold(UInt64(asked), secret)
  }

  /// Whether any pin holds the block.
  @inline(__always)
  func isPinned(_ block: BlockID) -> Bool {
    scalars.count > 0 && heads.value(UInt64(block), 0) != 0
  }

  /// The pin that ends first, if one ends by `now`; `PrefixPin.none` otherwise.
  func firstExpired(_ now: UInt64) -> UInt32 {
    let first = expiring.first
    return first == 0 || expiring.rank(of: first) > now ? PrefixPin.none : first - 1
  }

  /// The first of a block's pins, or `PrefixPin.none`.
  func firstLink(of block: BlockID) -> UInt32 { heads.value(UInt64(block), 0) &- 1 }

  // MARK: Changing

  private func save(_ pin: UInt32) {
    if undo.isRecording { undo.pins.append(.init(index: pin, pin: pins[Int(pin)])) }
  }

  private func saveLink(_ link: UInt32) {
    if undo.isRecording { undo.pinLinks.append(.init(index: link, link: links[Int(link)])) }
  }

  /// A pin without blocks, the session's last.
  func create(_ content: BlockHash, asked: UInt32, expires: UInt64, session: UInt32) -> UInt32 {
    let pin: UInt32
    if scalars.firstUnused != PrefixPin.none {
      pin = scalars.firstUnused
      save(pin)
      scalars.firstUnused = pins[Int(pin)].nextAlike
    } else {
      pin = scalars.used
      if Int(pin) == capacity { growPins() }
      scalars.used += 1
      (pins + Int(pin)).initialize(to: PrefixPin())
    }
    scalars.lastSerial += 1
    scalars.count += 1
    var new = PrefixPin()
    new.serial = scalars.lastSerial
    new.session = session
    new.content = content
    new.asked = asked
    new.expires = expires
    let name = fingerprint(content, asked)
    new.nextAlike = names.value(name, session) &- 1
    names.set(name, session, to: pin + 1)
    sessions.save(session)
    let owner = sessions.slots + Int(session)
    new.previousInSession = owner.pointee.lastPin
    pins[Int(pin)] = new
    if owner.pointee.lastPin == PrefixPin.none {
      owner.pointee.firstPin = pin
    } else {
      save(owner.pointee.lastPin)
      pins[Int(owner.pointee.lastPin)].nextInSession = pin
    }
    owner.pointee.lastPin = pin
    if expires != 0 {
      scalars.timed += 1
      expiring.reserve(pin + 1)
      expiring.insert(pin + 1, rank: expires, tie: new.serial)
      if undo.isRecording { mustRebuild = true }
    }
    return pin
  }

  /// One more block of the pin's prefix. Returns true where no pin held the block before.
  func append(_ block: BlockID, to pin: UInt32) -> Bool {
    let link: UInt32
    if scalars.firstUnusedLink != PrefixPin.none {
      link = scalars.firstUnusedLink
      saveLink(link)
      scalars.firstUnusedLink = links[Int(link)].nextInPin
    } else {
      link = scalars.usedLinks
      if Int(link) == linkCapacity { growLinks() }
      scalars.usedLinks += 1
      (links + Int(link)).initialize(to: PinLink())
    }
    save(pin)
    let session = pins[Int(pin)].session
    let next = firstLink(of: block)
    var new = PinLink()
    new.block = block
    new.pin = pin
    // From the last block of the prefix to its first: the order in which they are given back.
    new.nextInPin = pins[Int(pin)].lastLink
    new.nextOfBlock = next
    links[Int(link)] = new
    pins[Int(pin)].lastLink = link
    pins[Int(pin)].blocks += 1
    if next != PrefixPin.none {
      saveLink(next)
      links[Int(next)].previousOfBlock = link
    }
    heads.set(UInt64(block), 0, to: link + 1)
    countHold(of: block, session, by: 1)
    return next == PrefixPin.none
  }

  private func countHold(of block: BlockID, _ session: UInt32, by change: Int32) {
    let held = holds.value(UInt64(block), session)
    let now = UInt32(Int64(held) + Int64(change))
    holds.set(UInt64(block), session, to: now)
    sessions.save(session)
    let owner = sessions.slots + Int(session)
    owner.pointee.pinLinks = UInt32(Int64(owner.pointee.pinLinks) + Int64(change))
    if held == 0 { owner.pointee.pinnedBlocks += 1 }
    if now == 0 { owner.pointee.pinnedBlocks -= 1 }
  }

  /// Takes the link off its block; it stays with its pin, without a block. Returns true where no
  /// other pin holds the block.
  func release(_ link: UInt32) -> Bool {
    let old = links[Int(link)]
    precondition(old.block != 0, "released a pin's block twice")
    saveLink(link)
    if old.previousOfBlock == PrefixPin.none {
      heads.set(UInt64(old.block), 0, to: old.nextOfBlock &+ 1)
    } else {
      saveLink(old.previousOfBlock)
      links[Int(old.previousOfBlock)].nextOfBlock = old.nextOfBlock
    }
    if old.nextOfBlock != PrefixPin.none {
      saveLink(old.nextOfBlock)
      links[Int(old.nextOfBlock)].previousOfBlock = old.previousOfBlock
    }
    links[Int(link)].block = 0
    save(old.pin)
    pins[Int(old.pin)].blocks -= 1
    countHold(of: old.block, pins[Int(old.pin)].session, by: -1)
    return old.previousOfBlock == PrefixPin.none && old.nextOfBlock == PrefixPin.none
  }

  /// Forgets a pin whose links are all released.
  func remove(_ pin: UInt32) {
    save(pin)
    let old = pins[Int(pin)]
    precondition(old.blocks == 0, "forgot a pin that still holds blocks")
    unname(pin, old)
    unlink(old)
    if old.expires != 0 {
      scalars.timed -= 1
      expiring.remove(pin + 1)
      if undo.isRecording { mustRebuild = true }
    }
    var link = old.lastLink
    while link != PrefixPin.none {
      let next = links[Int(link)].nextInPin
      saveLink(link)
      links[Int(link)] = PinLink()
      links[Int(link)].nextInPin = scalars.firstUnusedLink
      scalars.firstUnusedLink = link
      link = next
    }
    pins[Int(pin)] = PrefixPin()
    pins[Int(pin)].nextAlike = scalars.firstUnused
    scalars.firstUnused = pin
    scalars.count -= 1
  }

  private func unname(_ pin: UInt32, _ old: PrefixPin) {
    let name = fingerprint(old.content, old.asked)
    let first = names.value(name, old.session) &- 1
    if first == pin {
      names.set(name, old.session, to: old.nextAlike &+ 1)
      return
    }
    var before = first
    while pins[Int(before)].nextAlike != pin { before = pins[Int(before)].nextAlike }
    save(before)
    pins[Int(before)].nextAlike = old.nextAlike
  }

  private func unlink(_ old: PrefixPin) {
    sessions.save(old.session)
    let owner = sessions.slots + Int(old.session)
    if old.previousInSession == PrefixPin.none {
      owner.pointee.firstPin = old.nextInSession
    } else {
      save(old.previousInSession)
      pins[Int(old.previousInSession)].nextInSession = old.nextInSession
    }
    if old.nextInSession == PrefixPin.none {
      owner.pointee.lastPin = old.previousInSession
    } else {
      save(old.nextInSession)
      pins[Int(old.nextInSession)].previousInSession = old.previousInSession
    }
  }

  private func growPins() {
    let larger = UnsafeMutablePointer<PrefixPin>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: pins, count: capacity)
    pins.deallocate()
    pins = larger
    capacity *= 2
  }

  private func growLinks() {
    let larger = UnsafeMutablePointer<PinLink>.allocate(capacity: linkCapacity * 2)
    larger.moveInitialize(from: links, count: linkCapacity)
    links.deallocate()
    links = larger
    linkCapacity *= 2
  }

  // MARK: Undo

  var mark: Scalars { scalars }

  func restore(_ saved: UndoLog.SavedPin) { pins[Int(saved.index)] = saved.pin }
  func restore(_ saved: UndoLog.SavedPinLink) { links[Int(saved.index)] = saved.link }

  /// After the pins are restored.
  func restore(_ mark: Scalars) {
    scalars = mark
    if !mustRebuild { return }
    expiring.removeAll()
    for pin in 0..<scalars.used where pins[Int(pin)].serial != 0 && pins[Int(pin)].expires != 0 {
      expiring.insert(pin + 1, rank: pins[Int(pin)].expires, tie: pins[Int(pin)].serial)
    }
    mustRebuild = false
  }

  /// What was recorded stands.
  func commit() { mustRebuild = false }
}
