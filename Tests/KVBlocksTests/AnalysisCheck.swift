import Analysis
import KVBlocks
import TestSupport

/// The analyzer follows a walk; each of its measures is counted again block by block, from what the pool
/// says of each block and of each table. It is told of no command: it knows by what the pool says may have
/// changed between two looks.
///
/// Marks are compared after one to thirteen commands, by a draw of its own: after each command it would not
/// show that a tracker forgets what it heard before the last, and after many a block that one
/// command does not note is noted by another. Whole states are compared after every 97th command, two
/// thousand of them in a run of all walks.
struct AnalysisCheck {
  private let tracker: FragmentationTracker
  private var random: SplitMix64
  /// Commands until marks are compared next.
  private var left = 1
  /// By block: what came before its content, as the log said it; nil = nothing, or nobody knows.
  private var parents: [BlockID: UInt64?] = [:]

  init(_ pool: KVPool, seed: UInt64) {
    tracker = FragmentationTracker(pool, follows: true)
    random = SplitMix64(seed: seed)
  }

  /// Another pool takes the place.
  mutating func begin(_ pool: KVPool) {
    tracker.catchUp(with: pool)
    parents = [:]
  }

  /// After a command. `log` is that of the pool, or of one that does the same. Returns what is wrong; nil
  /// when all is right.
  mutating func follow(_ log: ChangeLog, _ pool: KVPool, _ step: Int) -> String? {
    for entry in log.entries.elements {
      if entry.kind == .cleared && entry.cause == .pool { parents = [:] }
      if entry.kind == .stored {
        var before = log.parent(of: entry)?.words.0
        for (id, content) in zip(log.blocks(of: entry), log.contents(of: entry)) {
          parents[id] = before
          before = content.hash.words.0
        }
      }
      if entry.kind == .moved && entry.cause == .defragment {
        for copy in log.copies(of: entry) { parents[copy.target] = parents[copy.source] }
      }
    }
    left -= 1
    if left == 0 {
      left = 1 + Int(random.next() % 13)
      if let wrong = tracker.disagreement(with: pool) { return wrong }
    }
    return step % 97 == 5 ? compare(pool, step) : nil
  }

  private func compare(_ pool: KVPool, _ step: Int) -> String? {
    let whole = pool.layout()
    if tracker.layout(of: pool) != whole {
      return "layout \(tracker.layout(of: pool)) instead of \(whole)"
    }
    for (runs, slots) in [(true, false), (false, true), (false, false)] {
      let mine = tracker.layout(of: pool, withRuns: runs, withSlots: slots)
      let right = pool.layout(withRuns: runs, withSlots: slots)
      if mine != right { return "layout \(mine) instead of \(right)" }
    }
    let probes: [UInt32] = [1, 2, 5, 17, 64]
    let snapshot = FragmentationSnapshot(
      of: pool, tracker, at: UInt64(step), sequences: 4, probing: probes, withOrphans: true)
    let count = BruteCount(pool, parents)
    let mine = Measures(snapshot)
    let right = count.measures(probes)
    if mine != right { return "measures \(mine) instead of \(right)" }
    let costs = count.costs.sorted {
      if $0.blocks != $1.blocks { return $0.blocks > $1.blocks }
      if $0.unusedSlots != $1.unusedSlots { return $0.unusedSlots > $1.unusedSlots }
      return ($0.session, $0.sequence) < ($1.session, $1.sequence)
    }
    let mostCostly = snapshot.sequences.map {
      var cost = $0
      cost.admittedMilliseconds = nil
      return cost
    }
    if mostCostly != Array(costs.prefix(4)) {
      return "sequences \(mostCostly) instead of \(costs.prefix(4))"
    }
    let owners = Dictionary(
      snapshot.owners.map {
        ("\($0.session) \($0.label)", [$0.sequences, $0.runningSequences, $0.sequenceBlocks])
      }, uniquingKeysWith: { $0 + $1 })
    for (key, right) in count.owners where owners[key] != right {
      return "owner \(key) has \(owners[key] ?? []) instead of \(right)"
    }
    let raw = snapshot.owners.reduce(0) { $0 + Int($1.rawBlocks) }
    return raw == count.rawHolds ? nil : "\(raw) raw holds instead of \(count.rawHolds)"
  }
}

/// The measures of a look, as plain numbers.
private struct Measures: Equatable {
  var free: [Int] = []
  var freeHistogram: [Int] = []
  var available: [Int] = []
  var availableHistogram: [Int] = []
  var means: [Double] = []
  var ratios: [Double] = []
  var slots: [UInt64] = []
  var blocks: [UInt32] = []
  var fits: [[Bool]] = []

  init() {}

  init(_ look: FragmentationSnapshot) {
    free = [look.runs.free.count, look.runs.free.blocks, look.runs.free.largest]
    freeHistogram = look.runs.free.histogram
    available = [
      look.runs.available.count, look.runs.available.blocks, look.runs.available.largest,
    ]
    availableHistogram = look.runs.available.histogram
    means = [look.runs.free.mean, look.runs.available.mean]
    ratios = [
      look.externalFragmentation, look.internalFragmentation, look.usageByBlocks,
      look.usageBySlots,
    ]
    slots = [
      look.heldSlots.held, look.heldSlots.used, look.unusedSlots, look.capacitySlots,
      look.reserveMaxSlots,
    ]
    blocks = [
      look.partialBlocks, look.emptyBlocks, look.layout.rawBlocks, look.orphanedBlocks ?? 0,
      look.usedBlocks, look.availableBlocks,
    ]
    fits = look.probes.map { [$0.fitsFree, $0.fitsAvailable] }
  }
}

/// Counted by looking at every block and at every entry of every table.
private struct BruteCount {
  /// By size class, by block.
  private var states: [[BlockState]] = []
  private var sizes: [Int] = []
  /// The most tokens that any table has in the block; none in blocks that no table has.
  private var filled: [BlockID: Int] = [:]
  private var raw = 0
  private var orphans = 0
  private var running = 0
  private var longest = 0
  private(set) var rawHolds = 0
  private(set) var costs: [SequenceCost] = []
  private(set) var owners: [String: [UInt32]] = [:]
  private var sizeOf: [BlockID: Int] = [:]

  init(_ pool: KVPool, _ parents: [BlockID: UInt64?]) {
    let configuration = pool.configuration
    let classes =
      configuration.sizeClasses.isEmpty
      ? [(configuration.blocks, configuration.blockSize)]
      : configuration.sizeClasses.map { ($0.blocks, $0.blockSize) }
    var id: BlockID = 1
    for (blocks, size) in classes {
      states.append((id..<id + blocks).map { pool.block($0).state })
      sizes.append(Int(size))
      for block in id..<id + blocks { sizeOf[block] = Int(size) }
      id += blocks
    }
    longest = Int(configuration.maxModelTokens)
    readTables(pool, limited: longest > 0)
    for id in 1...configuration.blocks {
      let isHeld = [.active, .shared].contains(pool.block(id).state)
      if isHeld && filled[id] == nil && pool.mark(of: id).holder != .rounding { raw += 1 }
      for session in [0, 7, 1 << 40] as [SessionID]
      where pool.rawReferences(session: session, block: id) > 0 {
        rawHolds += 1
      }
    }
    countOrphans(pool, parents)
  }

  private mutating func readTables(_ pool: KVPool, limited: Bool) {
    var cursor: UInt32 = 0
    while let (view, next) = pool.nextSequence(from: cursor) {
      cursor = next
      let key = "\(view.session) \(Array(view.label))"
      let isRunning = view.state == .running
      let blocks = isRunning ? Array(view.blocks) : []
      let held = blocks.filter { $0 != 0 }
      let old = owners[key] ?? [0, 0, 0]
      owners[key] = [old[0] + 1, old[1] + (isRunning ? 1 : 0), old[2] + UInt32(held.count)]
      if !isRunning { continue }
      running += 1
      if !limited { longest = max(longest, Int(view.tokens)) }
      var unused = 0
      for (i, id) in blocks.enumerated() where id != 0 {
        guard let size = sizeOf[id] else { continue }
        let tokens = min(max(Int(view.computedTokens) - i * size, 0), size)
        unused += size - tokens
        filled[id] = max(filled[id] ?? 0, tokens)
      }
      costs.append(
        SequenceCost(
          session: view.session, sequence: view.sequence, tokens: view.tokens,
          computedTokens: view.computedTokens,
          exclusiveBlocks: UInt32(held.count { pool.block($0).refCount == 1 }),
          sharedBlocks: UInt32(held.count { pool.block($0).refCount > 1 }), runs: view.runs,
          unusedSlots: UInt32(unused), separatedRuns: separated(by: held, pool),
          admittedMilliseconds: nil, label: Array(view.label)))
    }
  }

  /// Runs of available blocks before, minus those after it went, where it joins two of them.
  private func separated(by held: [BlockID], _ pool: KVPool) -> UInt32 {
    let own = Set(held.filter { pool.block($0).refCount == 1 })
    var first: BlockID = 1
    var count: UInt32 = 0
    for part in states {
      let last = first + BlockID(part.count) - 1
      func isAvailable(_ id: BlockID) -> Bool {
        id >= first && id <= last
          && [.free, .cached, .pending].contains(part[Int(id - first)])
      }
      for id in own where id >= first && id <= last && isAvailable(id - 1) {
        var end = id
        while own.contains(end + 1) && end < last { end += 1 }
        if isAvailable(end + 1) { count += 1 }
      }
      first = last + 1
    }
    return count
  }

  private mutating func countOrphans(_ pool: KVPool, _ parents: [BlockID: UInt64?]) {
    var first: BlockID = 1
    for part in states {
      var parentOf: [UInt64: UInt64] = [:]
      var contents: Set<UInt64> = []
      var roots: Set<UInt64> = []
      for i in part.indices {
        guard let hash = pool.content(first + BlockID(i)) else { continue }
        contents.insert(hash.words.0)
        if let parent = parents[first + BlockID(i)] ?? nil {
          parentOf[hash.words.0] = parent
        } else {
          roots.insert(hash.words.0)
        }
      }
      for root in roots { parentOf[root] = nil }
      for i in part.indices where part[i] == .cached {
        guard var hash = pool.content(first + BlockID(i))?.words.0 else { continue }
        var steps = 0
        while let parent = parentOf[hash], contents.contains(parent), steps <= part.count {
          hash = parent
          steps += 1
        }
        if parentOf[hash] != nil { orphans += 1 }
      }
      first += BlockID(part.count)
    }
  }

  private func lengths(_ wanted: Set<BlockState>) -> [Int] {
    states.flatMap { part in
      part.split { !wanted.contains($0) }.map(\.count)
    }
  }

  func measures(_ probes: [UInt32]) -> Measures {
    let free = lengths([.free])
    let available = lengths([.free, .cached, .pending])
    func histogram(_ lengths: [Int]) -> [Int] {
      var bins: [Int] = []
      for length in lengths {
        var order = 0
        while 2 << order <= length { order += 1 }
        while bins.count <= order { bins.append(0) }
        bins[order] += 1
      }
      return bins
    }
    func three(_ lengths: [Int]) -> [Int] {
      [lengths.count, lengths.reduce(0, +), lengths.max() ?? 0]
    }
    func mean(_ lengths: [Int]) -> Double {
      lengths.isEmpty ? 0 : Double(lengths.reduce(0, +)) / Double(lengths.count)
    }
    var held = 0
    var used = 0
    var partial: UInt32 = 0
    var empty: UInt32 = 0
    for (id, tokens) in filled {
      guard let size = sizeOf[id] else { continue }
      held += size
      used += tokens
      if tokens == 0 { empty += 1 } else if tokens < size { partial += 1 }
    }
    let blocks = states.reduce(0) { $0 + $1.count }
    let slots = zip(states, sizes).reduce(0) { $0 + $1.0.count * $1.1 }
    let there = available.reduce(0, +)
    var result = Measures()
    result.free = three(free)
    result.freeHistogram = histogram(free)
    result.available = three(available)
    result.availableHistogram = histogram(available)
    result.means = [mean(free), mean(available)]
    result.ratios = [
      free.isEmpty ? 0 : 1 - Double(three(free)[2]) / Double(three(free)[1]),
      held == 0 ? 0 : Double(held - used) / Double(held), Double(blocks - there) / Double(blocks),
      Double(used) / Double(slots),
    ]
    result.slots = [held, used, held - used, slots, running * longest].map { UInt64($0) }
    result.blocks = [
      partial, empty, UInt32(raw), UInt32(orphans), UInt32(blocks - there), UInt32(there),
    ]
    result.fits = probes.map { [Int($0) <= three(free)[2], Int($0) <= three(available)[2]] }
    return result
  }
}
