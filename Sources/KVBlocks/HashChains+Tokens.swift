/// The token ids of the sequences: those behind the last block that has a hash, from which the next
/// hash is made, and those of the last full blocks, so that rewinds can go back into them.
///
/// Of a sequence the ids of one range are kept, which begins at a block. It is of use while it ends
/// where the sequence ends; after tokens that were only counted it waits for a rewind to come back to
/// it. What is kept is a function of the history alone, never of how memory happened to grow.
extension HashChains {
  /// Rewinds of up to so many tokens in all, since the last block filled, never meet ids that are gone.
  static let keptTokens: UInt32 = 64

  /// Full blocks whose ids are kept for that.
  static func keptBlocks(_ blockSize: UInt32) -> UInt32 {
    (keptTokens + blockSize - 1) / blockSize
  }

  /// Blocks of the first `tokens` tokens that can have a hash.
  @inline(__always)
  func hashable(_ tokens: UInt32) -> UInt32 {
    tokens > lookahead ? (tokens - lookahead) / blockSize : 0
  }

  /// Whether the ids of all tokens behind the hashed blocks are kept. `tokens` are the sequence's.
  @inline(__always)
  func knowsTail(_ slot: UInt32, tokens: UInt32) -> Bool {
    let chain = chains + Int(slot)
    return chain.pointee.tokensEnd == tokens
      && chain.pointee.tokensBegin <= chain.pointee.count * blockSize
  }

  // MARK: Growing

  /// Records the ids that follow the sequence's first `tokens` tokens, and hashes the blocks that are
  /// full with them. Ids behind tokens that were only counted say nothing about a block: they are
  /// counted too.
  @inline(__always)
  func append(_ ids: UnsafeBufferPointer<UInt32>, behind tokens: UInt32, to slot: UInt32) {
    if ids.count == 0 || hasher == nil { return }
    let chain = chains + Int(slot)
    let hashed = chain.pointee.count * blockSize
    let isKnown = knowsTail(slot, tokens: tokens)
    if !isKnown && tokens != hashed { return }
    save(slot)
    if !isKnown {
      chain.pointee.tokensEnd = tokens
      chain.pointee.tokensCount = 0
      chain.pointee.tokensSkip = 0
    }
    if tokens + UInt32(ids.count) - hashed >= blockSize + lookahead {
      hashAndKeep(ids, behind: tokens, slot)
    } else {
      keep(ids, slot)
    }
  }

  /// At least one block is full.
  @inline(never)
  private func hashAndKeep(
    _ ids: UnsafeBufferPointer<UInt32>, behind tokens: UInt32, _ slot: UInt32
  ) {
    let old = chains[Int(slot)]
    let hashed = old.count * blockSize
    let added = (tokens + UInt32(ids.count) - hashed - lookahead) / blockSize
    let room = extend(slot, by: added)
    let tail = UnsafeBufferPointer(rebasing: old.keptTokens[Int(hashed - old.tokensBegin)...])
    let job = TokenHashJob(
      parent: old.count == 0 ? nil : UnsafePointer(room - hashBytes), start: Int(hashed),
      tail: tail, appended: ids, extraKeys: old.keyBytes, sizeClass: sizeClass)
    let made = hasher.unsafelyUnwrapped.hash(job, into: room)
    precondition(made == Int(added), "the hasher left out a block")
    // Kept are the last full blocks and what is behind them.
    let begin = max(old.tokensBegin, keepsFrom(chains[Int(slot)].count))
    let chain = chains + Int(slot)
    let dropped = min(begin - old.tokensBegin, old.tokensCount)
    chain.pointee.tokensCount -= dropped
    chain.pointee.tokensSkip += dropped
    if begin <= old.tokensEnd {
      keep(ids, slot)
    } else {
      chain.pointee.tokensSkip = 0
      chain.pointee.tokensEnd = begin
      keep(.init(rebasing: ids[Int(begin - old.tokensEnd)...]), slot)
    }
  }

  /// The first token that is kept once `count` blocks have a hash.
  @inline(__always)
  private func keepsFrom(_ count: UInt32) -> UInt32 {
    count > keptBlocks ? (count - keptBlocks) * blockSize : 0
  }

  /// Puts the ids behind those that are kept. The caller has saved the slot.
  @inline(__always)
  private func keep(_ ids: UnsafeBufferPointer<UInt32>, _ slot: UInt32) {
    let chain = chains + Int(slot)
    let added = UInt32(ids.count)
    if added == 0 { return }
    let end = chain.pointee.tokensSkip + chain.pointee.tokensCount
    if end + added > chain.pointee.tokensCapacity || undo.isRecording {
      return keepSlowly(ids, slot)
    }
    let place = chain.pointee.tokens.unsafelyUnwrapped + Int(end)
    let source = ids.baseAddress.unsafelyUnwrapped
    // One token is what a decode brings: a store, where the copy is a call.
    if added == 1 {
      place.pointee = source.pointee
    } else {
      place.update(from: source, count: Int(added))
    }
    chain.pointee.tokensCount += added
    chain.pointee.tokensEnd += added
  }

  @inline(never)
  private func keepSlowly(_ ids: UnsafeBufferPointer<UInt32>, _ slot: UInt32) {
    guard let source = ids.baseAddress else { return }
    let chain = chains + Int(slot)
    let count = chain.pointee.tokensCount
    let needed = count + UInt32(ids.count)
    if chain.pointee.tokensSkip + needed > chain.pointee.tokensCapacity {
      makeRoom(slot, needed: needed)
    }
    let place = chain.pointee.tokens.unsafelyUnwrapped + Int(chain.pointee.tokensSkip + count)
    if undo.isRecording {
      for i in 0..<ids.count {
        undo.chainTokens.append(.init(place: place + i, token: place[i]))
      }
    }
    place.update(from: source, count: ids.count)
    chain.pointee.tokensCount = needed
    chain.pointee.tokensEnd += UInt32(ids.count)
  }

  /// Moves what is kept to the front, or into larger memory. While a command is recorded always into
  /// other memory, so that what was can come back.
  private func makeRoom(_ slot: UInt32, needed: UInt32) {
    let chain = chains + Int(slot)
    let kept = chain.pointee.keptTokens
    let isRoomy = UInt64(needed) * 4 <= UInt64(chain.pointee.tokensCapacity) * 3
    if isRoomy && !undo.isRecording {
      if let tokens = chain.pointee.tokens, let source = kept.baseAddress {
        tokens.update(from: source, count: kept.count)
      }
      chain.pointee.tokensSkip = 0
      return
    }
    let capacity = isRoomy ? chain.pointee.tokensCapacity : max(16, needed + needed / 2)
    let other = UnsafeMutablePointer<UInt32>.allocate(capacity: Int(capacity))
    other.initialize(repeating: 0, count: Int(capacity))
    if let source = kept.baseAddress { other.update(from: source, count: kept.count) }
    undo.created(other)
    undo.retire(chain.pointee.tokens)
    chain.pointee.tokens = other
    chain.pointee.tokensCapacity = capacity
    chain.pointee.tokensSkip = 0
  }

  // MARK: Coming

  /// The hashes of the full blocks of a sequence that is not there yet, until the next such call.
  func hashesOfNew(
    _ ids: UnsafeBufferPointer<UInt32>, extraKeys: UnsafeBufferPointer<UInt8>
  ) -> UnsafeBufferPointer<UInt8> {
    let count = Int(hashable(UInt32(ids.count)))
    guard let hasher, count > 0 else { return .init(start: nil, count: 0) }
    fresh.removeAll()
    let room = fresh.extend(by: count * hashBytes)
    let job = TokenHashJob(
      parent: nil, start: 0, tail: .init(start: nil, count: 0), appended: ids,
      extraKeys: extraKeys, sizeClass: sizeClass)
    let made = hasher.hash(job, into: room)
    precondition(made == count, "the hasher left out a block")
    return fresh.elements
  }

  /// The ids of a new sequence whose hashes are in its chain.
  func startTokens(_ ids: UnsafeBufferPointer<UInt32>, of slot: UInt32) {
    if ids.count == 0 || hasher == nil { return }
    let begin = keepsFrom(chains[Int(slot)].count)
    chains[Int(slot)].tokensEnd = begin
    keep(.init(rebasing: ids[Int(begin)...]), slot)
  }

  /// The ids that a dump has of a sequence.
  func restoreTokens(_ ids: [UInt32], before end: UInt32, of slot: UInt32) {
    chains[Int(slot)].tokensEnd = end - UInt32(ids.count)
    ids.withUnsafeBufferPointer { keep($0, slot) }
  }

  /// The chain of a new sequence that is as another one, with its blocks or without.
  func startFork(_ slot: UInt32, of parent: UInt32, sharesBlocks: Bool) {
    let original = chains[Int(parent)]
    start(
      slot, bytes(of: parent), extraKeys: original.keyBytes, skipsLookup: original.skipsLookup)
    startRetention(retention(of: parent), of: slot)
    if sharesBlocks { chains[Int(slot)].cachedBlocks = original.cachedBlocks }
    chains[Int(slot)].tokensEnd = original.tokensBegin
    keep(original.keptTokens, slot)
  }

  // MARK: Shrinking

  /// How many tokens a rewind to `left` may drop at most, where it would need ids that are gone; nil
  /// where it may go on. `tokens` are the sequence's.
  func tooFar(_ slot: UInt32, tokens: UInt32, left: UInt32) -> UInt32? {
    if left == tokens || !knowsTail(slot, tokens: tokens) { return nil }
    let chain = chains[Int(slot)]
    let hashed = min(chain.count, hashable(left)) * blockSize
    if hashed == left || chain.tokensBegin <= hashed { return nil }
    return tokens - min(tokens, chain.tokensBegin + lookahead)
  }

  /// Forgets hashes and ids of tokens that are gone. The caller has saved the slot.
  func cut(_ slot: UInt32, hashes: UInt32, tokens: UInt32) {
    let chain = chains + Int(slot)
    chain.pointee.count = hashes
    if tokens < chain.pointee.tokensEnd {
      let gone = chain.pointee.tokensEnd - tokens
      chain.pointee.tokensCount -= min(gone, chain.pointee.tokensCount)
      chain.pointee.tokensEnd = tokens
    }
  }

  /// Puts back an id that a later one overwrote.
  func restore(_ saved: UndoLog.SavedToken) { saved.place.pointee = saved.token }

  // MARK: Checking

  /// Whether the hashes of the blocks whose ids are kept are those that the ids give.
  func agreesWithTokens(_ slot: UInt32) -> Bool {
    let chain = chains[Int(slot)]
    guard let hasher, chain.tokensCount > 0 else { return true }
    let first = chain.tokensBegin / blockSize
    let count = min(chain.count, hashable(chain.tokensEnd))
    if first >= count { return true }
    let made = UnsafeMutablePointer<UInt8>.allocate(
      capacity: (Int(chain.tokensCount / blockSize) + 1) * hashBytes)
    defer { made.deallocate() }
    guard let bytes = chain.bytes else { return false }
    let old = bytes + Int(first) * hashBytes
    _ = hasher.hash(
      TokenHashJob(
        parent: first == 0 ? nil : UnsafePointer(old - hashBytes),
        start: Int(first * blockSize), tail: chain.keptTokens,
        appended: .init(start: nil, count: 0), extraKeys: chain.keyBytes,
        sizeClass: sizeClass), into: made)
    for i in 0..<Int(count - first) * hashBytes where made[i] != old[i] { return false }
    return true
  }
}
