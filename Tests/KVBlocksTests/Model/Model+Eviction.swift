import KVBlocks

/// The eviction policies once more: the queue is sorted anew whenever something has changed.
///
/// With vLLM's policy the queue is what it always was. With another one the blocks without content
/// come first, and behind them those with content, in the order in which they would be evicted.
extension Model {
  /// What the policies know of blocks with content.
  struct Known {
    /// When each came to wait for its eviction.
    var arrivals: [BlockID: Int] = [:]
    var clock = 0
    var hits: [BlockID: Int] = [:]
    // lfu
    var age = 0
    var ranks: [BlockID: Int] = [:]
    // s3-fifo: all blocks that came once, held or not.
    var small: [BlockID] = []
    var main: [BlockID] = []
    var ghosts: [UInt64?] = []
    // priority
    var wants: [BlockID: (priority: Int, ttl: UInt64)] = [:]
    var ends: [BlockID: UInt64] = [:]
  }

  private var waiting: [BlockID] { state.queue.filter { state.contents[$0] != nil } }

  /// Nobody holds these any more; they are in the queue.
  mutating func arrived(_ blocks: [BlockID]) {
    for block in blocks { arrive(block) }
    sortQueue()
  }

  private mutating func arrive(_ block: BlockID) {
    state.known.clock += 1
    state.known.arrivals[block] = state.known.clock
    switch state.eviction {
    case .lru: break
    case .lfu:
      state.known.ranks[block] = state.known.age + state.known.hits[block, default: 0]
    case .s3FIFO:
      if state.known.small.contains(block) || state.known.main.contains(block) { return }
      if let ghost = state.known.ghosts.firstIndex(of: state.contents[block]) {
        state.known.ghosts[ghost] = nil
        state.known.main.append(block)
      } else {
        state.known.small.append(block)
      }
    case .priority:
      if let ttl = state.known.wants[block]?.ttl, ttl > 0 {
        let (end, overflow) = readClock().addingReportingOverflow(ttl)
        state.known.ends[block] = overflow ? .max : end
      } else {
        state.known.ends[block] = nil
      }
    }
  }

  mutating func sortQueue() {
    if state.eviction == .lru { return }
    let cached = waiting
    state.queue.removeAll { state.contents[$0] != nil }
    let known = state.known
    func arrival(_ block: BlockID) -> Int { known.arrivals[block] ?? 0 }
    switch state.eviction {
    case .lru: break
    case .lfu:
      state.queue += cached.sorted {
        (known.ranks[$0]!, arrival($0)) < (known.ranks[$1]!, arrival($1))
      }
    case .priority:
      func priority(_ block: BlockID) -> Int { known.wants[block]?.priority ?? 35 }
      state.queue += cached.sorted { (priority($0), arrival($0)) < (priority($1), arrival($1)) }
    case .s3FIFO:
      var rest = Set(cached)
      var copy = known
      while !rest.isEmpty { state.queue.append(evictOne(&copy, &rest).0) }
    }
  }

  /// The block that s3-fifo evicts, and whether it was in the small queue.
  private func evictOne(_ known: inout Known, _ rest: inout Set<BlockID>) -> (BlockID, Bool) {
    var passed: [(block: BlockID, hits: Int)] = []
    while true {
      if passed.count == 64 {
        let fewest = passed.map(\.hits).min()!
        let block = passed.first { $0.hits == fewest }!.block
        known.main.removeAll { $0 == block }
        rest.remove(block)
        return (block, false)
      }
      let small = known.small.filter { rest.contains($0) }
      let main = known.main.filter { rest.contains($0) }
      if let block = small.first, main.isEmpty || small.count * 10 >= small.count + main.count {
        known.small.removeAll { $0 == block }
        if known.hits[block, default: 0] < 2 {
          rest.remove(block)
          return (block, true)
        }
        passed.append((block, known.hits[block]!))
        known.main.append(block)
        known.hits[block] = 0
      } else {
        let block = main[0]
        known.main.removeAll { $0 == block }
        if known.hits[block, default: 0] == 0 {
          rest.remove(block)
          return (block, false)
        }
        passed.append((block, known.hits[block]!))
        known.main.append(block)
        known.hits[block]! -= 1
      }
    }
  }

  /// This block, the first of those with content, is about to be taken.
  mutating func evicted(_ block: BlockID) {
    state.evictionsBy[state.eviction, default: 0] += 1
    switch state.eviction {
    case .lru, .priority: break
    case .lfu: state.known.age = state.known.ranks[block]!
    case .s3FIFO:
      var rest = Set(waiting)
      let (victim, isNew) = evictOne(&state.known, &rest)
      precondition(victim == block, "the queue is not in the order of the evictions")
      guard isNew, let content = state.contents[block] else { return }
      if let old = state.known.ghosts.firstIndex(of: content) { state.known.ghosts[old] = nil }
      state.known.ghosts.append(content)
      if state.known.ghosts.count > max(1, blocks * 9 / 10) { state.known.ghosts.removeFirst() }
    }
  }

  mutating func hit(_ block: BlockID) {
    let most = state.eviction == .s3FIFO ? 3 : Int.max
    state.known.hits[block] = min(most, state.known.hits[block, default: 0] + 1)
  }

  /// The block has no content any more. With another policy than vLLM's, one in the queue goes to
  /// the front, as if it was given back.
  mutating func forgot(_ block: BlockID) {
    state.known.hits[block] = nil
    state.known.ranks[block] = nil
    state.known.arrivals[block] = nil
    state.known.small.removeAll { $0 == block }
    state.known.main.removeAll { $0 == block }
    state.known.wants[block] = nil
    state.known.ends[block] = nil
    if state.eviction == .lru && classes.isEmpty { return }
    if let place = state.queue.firstIndex(of: block) {
      state.queue.remove(at: place)
      state.queue.insert(block, at: 0)
    }
  }

  /// The content of a held block is in another one now.
  mutating func moved(_ block: BlockID, to target: BlockID) {
    state.known.hits[target] = state.known.hits.removeValue(forKey: block)
    state.known.wants[target] = state.known.wants.removeValue(forKey: block)
    state.known.small = state.known.small.map { $0 == block ? target : $0 }
    state.known.main = state.known.main.map { $0 == block ? target : $0 }
    forgot(block)
  }

  mutating func claim(_ block: BlockID, at position: Int, _ sequence: Sequence) {
    if state.eviction != .priority { return }
    for range in sequence.retention {
      let first = position * size
      if first < range.firstToken || (range.lastToken > 0 && first > range.lastToken) { continue }
      state.known.wants[block] = (Int(range.priority), range.timeToLive)
    }
  }

  mutating func expire(_ now: UInt64) {
    for block in waiting {
      guard let end = state.known.ends[block], end <= now else { continue }
      state.known.ends[block] = nil
      state.known.wants[block] = nil
      changed = true
    }
    sortQueue()
  }

  mutating func switchEviction(to policy: EvictionPolicy) {
    flushPending()
    let known = state.known
    // What waits, in the order in which it was last used.
    var cached = waiting
    if state.eviction != .lru { cached.sort { known.arrivals[$0]! < known.arrivals[$1]! } }
    state.eviction = policy
    state.known = Known()
    state.queue.removeAll { state.contents[$0] != nil }
    state.queue += cached
    if policy == .priority { _ = readClock() }
    arrived(cached)
  }
}
