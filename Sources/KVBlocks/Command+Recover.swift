/// The out-of-memory ladder: makes blocks available, or says why it cannot.
package struct Recover: BitwiseCopyable {
  /// Blocks that must be available afterwards, beside those promised; at least 1.
  package var blocksNeeded: UInt32
  /// Raw values of `RecoverRung`, each at most once, tried in this order; empty = all, in theirs.
  package var rungs: UnsafeBufferPointer<UInt32>
  /// Sequences that stay; unknown ones are passed over.
  package var keep: UnsafeBufferPointer<SequenceID>
  /// They must be one run of adjacent ids, such as an allocation of them would take.
  package var isContiguous: Bool
  /// Moves for it at most; 0 = `KVPool.defaultMoves`.
  package var maxMoves: UInt32
  /// The number of the size class whose blocks are meant, from 1; 0 = the first.
  package var sizeClass: UInt32

  package init(
    blocksNeeded: UInt32, rungs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    keep: UnsafeBufferPointer<SequenceID> = .init(start: nil, count: 0),
    isContiguous: Bool = false, maxMoves: UInt32 = 0, sizeClass: UInt32 = 0
  ) {
    self.isContiguous = isContiguous
    self.maxMoves = maxMoves
    self.sizeClass = sizeClass
    self.blocksNeeded = blocksNeeded
    self.rungs = rungs
    self.keep = keep
  }
}

/// Raw values are the wire's.
package enum RecoverRung: UInt8, CaseIterable, BitwiseCopyable, Sendable {
  /// Content is taken off the blocks that the need is met with.
  case evict = 1
  /// Blocks are moved together.
  case defragment = 2
  case preempt = 3
}

/// What a rung did, or would have done where the whole ladder was refused.
package struct RungReport: Equatable, BitwiseCopyable, Sendable {
  package var rung: RecoverRung
  /// Blocks that became available.
  package var freedBlocks: UInt32
  /// Cached blocks that lost their content.
  package var evictedBlocks: UInt32
  /// Whether the need was met after it.
  package var isSufficient: Bool
  /// It had nothing to do.
  package var isSkipped: Bool
  /// Where a run is needed, the longest that an allocation can have after it, all copies acknowledged;
  /// of moves that do not suffice, the longest that they could make. 0 elsewhere.
  package var largestRun: UInt32
  /// Moves that it ordered.
  package var moves: UInt32

  package init(
    _ rung: RecoverRung, freedBlocks: UInt32 = 0, evictedBlocks: UInt32 = 0, isSufficient: Bool,
    isSkipped: Bool, largestRun: UInt32 = 0, moves: UInt32 = 0
  ) {
    self.largestRun = largestRun
    self.moves = moves
    self.rung = rung
    self.freedBlocks = freedBlocks
    self.evictedBlocks = evictedBlocks
    self.isSufficient = isSufficient
    self.isSkipped = isSkipped
  }
}

extension Digest {
  mutating func add(_ recover: Recover) {
    add(
      UInt64(recover.blocksNeeded) | (recover.isContiguous ? 1 << 32 : 0),
      UInt64(recover.maxMoves))
    add(recover.rungs)
    add(recover.keep)
    if recover.sizeClass > 0 { add(UInt64(recover.sizeClass)) }
  }

  mutating func add(_ report: RungReport) {
    add(
      UInt32(report.rung.rawValue), report.freedBlocks, report.evictedBlocks,
      (report.isSufficient ? 1 : 0) | (report.isSkipped ? 2 : 0))
    if report.largestRun > 0 { add(UInt64(report.largestRun), UInt64(report.moves)) }
  }
}
