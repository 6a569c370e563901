internal import KVBlocks

/// The cache alone.
extension TraceReplay {
  /// What a prompt has taken and not given back.
  struct Prompt {
    /// In `hashes` still, and not cached yet.
    var isNew = true
    var hit: [BlockID]
    var new: [BlockID]
  }

  /// Whole stretches, as blocks: what its prompt has of them is acquired, the rest is taken; with the next piece
  /// that is cached; and with the one after it all is given back from its tail.
  func playOne() {
    guard var prompt else { return takeNext() }
    if prompt.isNew && caches && !prompt.new.isEmpty {
      prompt.isNew = false
      self.prompt = prompt
      hashes.withUnsafeBytes {
        cache(prompt.new, $0.bindMemory(to: UInt8.self), from: prompt.hit.count)
      }
      return
    }
    self.prompt = nil
    let all: [BlockID] = prompt.new.reversed() + prompt.hit.reversed()
    all.withUnsafeBufferPointer {
      let freed = pool.apply(
        one: .freeBlocks($0, generations: .init(start: nil, count: 0)), into: outcome)
      precondition(freed != nil, "blocks of a replay are not its own")
    }
  }

  private func takeNext() {
    let request = trace.requests[next]
    var tokens = UInt64(request.input)
    // A stretch counts as a whole, as it does in what is published of such traces.
    let whole = UInt64(trace.contentTokens)
    if request.contents > 0 { tokens = (tokens + whole - 1) / whole * whole }
    var state = ContentHash()
    hashes.removeAll(keepingCapacity: true)
    trace.hashes(
      of: next, tokens: tokens, blockSize: blockSize, inWholeStretches: true, state: &state,
      into: &hashes)
    next += 1
    let blocks = UInt32(hashes.count / 2)
    if blocks == 0 { return }
    note(sequences: 1, blocks: UInt64(blocks))
    result.promptTokens += UInt64(blocks) * UInt64(blockSize)
    hashes.withUnsafeBytes { raw in
      let bytes = raw.bindMemory(to: UInt8.self)
      let found = caches ? cachedBlocks(bytes) : 0
      let kind: Operation.Kind =
        caches
        ? .acquire(
          blockHashes: UnsafeBufferPointer(rebasing: bytes[..<(Int(found) * 16)]),
          count: blocks - found)
        : .allocate(count: blocks)
      guard let taken = pool.apply(one: kind, into: outcome) else {
        result.neverFit += 1
        return
      }
      result.hitTokens += UInt64(found) * UInt64(blockSize)
      prompt = Prompt(
        hit: Array(outcome.cached.elements(taken.pointee.cachedBlocks)),
        new: Array(outcome.blocks.elements(taken.pointee.newBlocks)))
    }
  }

  /// Of a prompt the leading blocks that are cached.
  private func cachedBlocks(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt32 {
    do throws(Refusal) {
      _ = try pool.lookupBlocks(bytes, into: &found)
      return UInt32(found.count)
    } catch {
      preconditionFailure("hashes of a replay were refused")
    }
  }

  private func cache(_ new: [BlockID], _ bytes: UnsafeBufferPointer<UInt8>, from found: Int) {
    let parent = UnsafeBufferPointer(
      rebasing: bytes[max(0, found - 1) * 16..<found * 16])
    new.withUnsafeBufferPointer {
      let cached = pool.apply(
        one: .cacheBlocks(
          $0, blockHashes: UnsafeBufferPointer(rebasing: bytes[(found * 16)...]),
          parentHash: parent), into: outcome)
      precondition(cached != nil, "content of a replay was refused")
    }
  }
}
