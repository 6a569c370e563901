package import KVBlocks

/// How long blocks live, lie idle and wait to be hit again: of a sample of the blocks handed out, much as
/// vLLM's `KVCacheMetricsCollector` measures it (which has no gap from the hand-out to the first hit), and,
/// of all blocks, how many were evicted without having been hit since this began.
///
/// A block handed out is sampled with the chance `1 / every`. Its life ends when it is handed out again
/// or loses its content, so it includes the time that it lies free, as in vLLM:
/// - lifetime = end - handed out,
/// - idle before evict = end - the last hit, or handed out where there was none; of blocks that lost
///   content only (vLLM counts empty ones, too),
/// - reuse gap = hit - the hit before, or handed out.
///
/// Costs two bits for each block, and for each block that a log names a test of its bit.
package final class BlockLifetimes {
  package private(set) var lifetimes = DurationHistogram()
  package private(set) var idleBeforeEvict = DurationHistogram()
  package private(set) var reuseGaps = DurationHistogram()
  /// Blocks that lost their content for room, since the pool was followed.
  package private(set) var evicted: UInt64 = 0
  /// Of these, blocks that were never hit since their content was stored.
  package private(set) var evictedUnused: UInt64 = 0

  /// One block in so many; 0 = none.
  package let every: UInt32
  /// Of the device.
  package private(set) var blocks: UInt32

  private struct Life {
    var born: UInt64
    var lastUse: UInt64
  }

  private var lives: [BlockID: Life] = [:]
  private var isSampled: BlockSet
  private var wasHit: BlockSet
  /// Blocks to be handed out until one is sampled.
  private var countdown: UInt32 = 0
  private var random: UInt64

  /// - Parameters:
  ///   - blocks: Of the device.
  ///   - every: One block handed out in so many is sampled, at random; 0 = none.
  ///   - seed: Of that chance: the same seed samples the same.
  package init(blocks: UInt32, every: UInt32 = 100, seed: UInt64) {
    self.every = every
    self.blocks = blocks
    random = seed
    isSampled = BlockSet(count: Int(blocks) + 1)
    wasHit = BlockSet(count: Int(blocks) + 1)
    countdown = draw()
  }

  /// A distance of 1 ... 2 x `every` - 1, all alike: `every` on average.
  private func draw() -> UInt32 {
    if every == 0 { return .max }
    // SplitMix64.
    random &+= 0x9E37_79B9_7F4A_7C15
    var mixed = random
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    mixed ^= mixed >> 31
    return 1 + UInt32(mixed.multipliedFullWidth(by: UInt64(every) * 2 - 1).high)
  }

  /// All that a command did. O(blocks named).
  package func note(_ log: ChangeLog, _ milliseconds: UInt64) {
    for entry in log.entries.elements {
      // Comparing a value of another module would be a call.
      guard case .device = entry.tier else { continue }
      switch entry.kind {
      case .handedOut:
        for id in log.blocks(of: entry) { handedOut(id, milliseconds) }
      case .evicted:
        let isForRoom = entry.cause == .handOut || entry.cause == .ahead
        for id in log.blocks(of: entry) { lost(id, milliseconds, isForRoom: isForRoom) }
      case .hit:
        for id in log.blocks(of: entry) { hit(id, milliseconds) }
      case .stored:
        for id in log.blocks(of: entry) { wasHit.set(Int(id), to: false) }
      case .moved where entry.cause == .defragment:
        move(log.blocks(of: entry))
      case .cleared where entry.cause == .pool:
        clear()
      default:
        break
      }
    }
  }

  private func handedOut(_ id: BlockID, _ now: UInt64) {
    if isSampled.contains(Int(id)) { end(id, now) }
    if every == 0 { return }
    countdown -= 1
    if countdown > 0 { return }
    countdown = draw()
    isSampled.set(Int(id), to: true)
    lives[id] = Life(born: now, lastUse: now)
  }

  private func hit(_ id: BlockID, _ now: UInt64) {
    wasHit.set(Int(id), to: true)
    if !isSampled.contains(Int(id)) { return }
    guard let life = lives[id] else { preconditionFailure("a sampled block without a life") }
    reuseGaps.add(milliseconds: now &- life.lastUse)
    lives[id]?.lastUse = now
  }

  private func lost(_ id: BlockID, _ now: UInt64, isForRoom: Bool) {
    if isForRoom {
      evicted += 1
      if !wasHit.contains(Int(id)) { evictedUnused += 1 }
    }
    wasHit.set(Int(id), to: false)
    if !isSampled.contains(Int(id)) { return }
    guard let life = lives[id] else { preconditionFailure("a sampled block without a life") }
    idleBeforeEvict.add(milliseconds: now &- life.lastUse)
    end(id, now)
  }

  private func end(_ id: BlockID, _ now: UInt64) {
    guard let life = lives.removeValue(forKey: id) else {
      preconditionFailure("a sampled block without a life")
    }
    lifetimes.add(milliseconds: now &- life.born)
    isSampled.set(Int(id), to: false)
  }

  /// A life goes on where the content is now. `ends`: source and target by turns.
  private func move(_ ends: UnsafeBufferPointer<BlockID>) {
    for i in stride(from: 0, to: ends.count - 1, by: 2) {
      let (source, target) = (ends[i], ends[i + 1])
      wasHit.set(Int(target), to: wasHit.contains(Int(source)))
      wasHit.set(Int(source), to: false)
      if isSampled.contains(Int(target)) {
        lives[target] = nil
        isSampled.set(Int(target), to: false)
      }
      if let life = lives.removeValue(forKey: source) {
        isSampled.set(Int(source), to: false)
        isSampled.set(Int(target), to: true)
        lives[target] = life
      }
    }
  }

  /// Another pool, of so many blocks, took the place. What was counted stays.
  package func begin(blocks: UInt32) {
    self.blocks = blocks
    lives.removeAll()
    isSampled = BlockSet(count: Int(blocks) + 1)
    wasHit = BlockSet(count: Int(blocks) + 1)
  }

  /// Lives under way end without being counted, as vLLM's do at a reset.
  private func clear() {
    lives.removeAll()
    isSampled.removeAll()
    wasHit.removeAll()
  }
}
