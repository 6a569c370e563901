/// Size classes: several block sizes in one pool, each with blocks of its own.
///
/// A sequence is of one class for good, and so is a block. An operation works on one class at a time,
/// the class at hand (`run.sizeClass`), at first the first: whoever looks at a sequence or at a block
/// says so first, and what follows counts in blocks of that class. In a pool without classes there is one, and nothing
/// to be said. `SizeClasses.md` has the rules.
extension KVPool {
  /// What the class at hand has.
  struct ClassShape: BitwiseCopyable {
    var blockSize: UInt32
    /// The id before its first block.
    var start: BlockID
    var blocks: UInt32
    /// Blocks that a hit must have at its end.
    var reach: UInt32
    /// Held back of its blocks for sequences to come.
    var promised: UInt32 = 0
  }

  // MARK: The class at hand

  @inline(__always)
  func useClass(of slot: UInt32) {
    if hasClasses { bringToHand(sequences.slots[Int(slot)].sizeClass) }
  }

  @inline(__always)
  func useClass(_ index: UInt8) {
    if hasClasses { bringToHand(index) }
  }

  @inline(never)
  private func bringToHand(_ index: UInt8) {
    run.sizeClass = index
    blockSize = shapes[Int(index)].blockSize
    capacity = shapes[Int(index)].blocks
    reach = shapes[Int(index)].reach
    blocks.use(index)
    chains?.use(index)
  }

  /// That of a block that exists.
  @inline(__always)
  func useClass(ofBlock id: BlockID) {
    if hasClasses { bringToHand(blocks.records[Int(id)].sizeClass) }
  }

  /// That with this number, from 1; 0 = the first.
  func useClass(number: UInt32) throws(Refusal) {
    if number > UInt32(shapes.count) {
      throw Refusal(.invalid, field: .sizeClass, limit: UInt64(shapes.count))
    }
    useClass(UInt8(max(number, 1) - 1))
  }

  /// Tokens of a sequence's block, whatever class is at hand.
  func blockSize(of slot: UInt32) -> UInt32 {
    hasClasses
      ? shapes[Int(sequences.slots[Int(slot)].sizeClass)].blockSize : configuration.blockSize
  }

  /// The blocks that there are.
  var ids: ClosedRange<Int> {
    let before = hasClasses ? Int(shapes[Int(run.sizeClass)].start) : 0
    return before + 1...before + Int(capacity)
  }

  /// What can be taken of it.
  @inline(__always)
  var available: UInt32 { hasClasses ? availableOfClass() : blocks.available }

  @inline(never)
  private func availableOfClass() -> UInt32 { blocks.available(inClass: run.sizeClass) }

  /// Of those available, blocks that have content.
  var cachedBlocks: UInt32 {
    hasClasses ? blocks.partCounts[Int(run.sizeClass)].cached : blocks.counters.cached
  }

  /// Blocks held back for sequences to come.
  @inline(__always)
  var promisedHere: UInt32 { hasClasses ? promisedOfClass() : promised }

  @inline(never)
  private func promisedOfClass() -> UInt32 { shapes[Int(run.sizeClass)].promised }

  var watermarkBlocks: UInt32 {
    hasClasses
      ? configuration.watermarkBlocks(ofClass: Int(run.sizeClass)) : configuration.watermarkBlocks
  }

  // MARK: Whose class

  /// Which class a sequence goes to: the one it names, from 1, or the first whose limit its expected
  /// length keeps. That is what it says, or else the tokens it has.
  func sizeClass(of new: AddSequence) throws(Refusal) -> UInt8 {
    if new.sizeClass > UInt32(shapes.count) {
      throw Refusal(
        .invalid, field: .sizeClass, limit: UInt64(shapes.count), sequence: new.sequence)
    }
    if !hasClasses { return 0 }
    if new.sizeClass > 0 { return UInt8(new.sizeClass - 1) }
    let expected = max(new.expectedTokens, new.tokens)
    for (i, one) in configuration.sizeClasses.enumerated()
    where one.maxExpectedTokens == 0 || expected <= one.maxExpectedTokens {
      return UInt8(i)
    }
    preconditionFailure("the last class takes all the rest")
  }

  /// A refusal for want of blocks names the class that it is about.
  @inline(never)
  func named(_ refusal: Refusal) -> Refusal {
    guard hasClasses else { return refusal }
    var named = refusal
    switch refusal.reason {
    case .later, .never, .noRun: named.sizeClass = run.sizeClass + 1
    default: break
    }
    return named
  }

  /// What such an operation is short of are host blocks, and these are of no class.
  func isOfHost(_ kind: Operation.Kind) -> Bool {
    if case .swapOut = kind { return true }
    return false
  }

  /// The session's running sequence that was admitted last, of the class at hand: blocks of another
  /// are of no help. There is one, the requester.
  ///
  /// - Parameter last: None of the class was admitted after this one; `SequenceSlot.none` = nobody has
  ///   looked. Becomes the one before the result.
  /// - Throws: `.quota` where the command has looked at too much: those that it passes over count.
  func lastRunningOfClass(before last: inout UInt32) throws(Refusal) -> UInt32 {
    var slot = last == SequenceSlot.none ? sessions.slots[Int(run.slot)].lastRunning : last
    while hasClasses && sequences.slots[Int(slot)].sizeClass != run.sizeClass {
      slot = sequences.slots[Int(slot)].previousRunning
      try spend(1, 0)
    }
    last = sequences.slots[Int(slot)].previousRunning
    return slot
  }
}
