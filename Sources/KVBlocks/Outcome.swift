/// What a command did: one result per operation, and the lists they point into.
///
/// Made once and reused: `KVPool.apply` resets it first. The lists are flat, so that an outcome of
/// any shape costs no allocation once they have grown.
package final class Outcome {
  /// The pool's revision after the command; generations of the blocks it handed out are the low 32
  /// bits of it.
  package var revision: Revision = 0
  /// Of the command as a whole (`.abort`, `.revisionMoved`); then nothing changed.
  package var refusal: Refusal = .none
  package var availableBlocks: UInt32 = 0
  package var results = FlatList<OperationResult>()
  /// Block ids newly handed out, in the order they are filled.
  package var blocks = FlatList<BlockID>()
  /// Numbers per sequence or block, as the operation says.
  package var counts = FlatList<UInt32>()
  /// Indexes of refused sequences of a decode.
  package var refusedIndexes = FlatList<UInt32>()
  package var preempted = FlatList<SequenceID>()
  package var copies = FlatList<CopyOrder>()

  package init() {}

  package func reset() {
    revision = 0
    refusal = .none
    availableBlocks = 0
    results.removeAll()
    blocks.removeAll()
    counts.removeAll()
    refusedIndexes.removeAll()
    preempted.removeAll()
    copies.removeAll()
  }
}

/// A part of one of an outcome's lists.
package struct Slice32: Equatable, BitwiseCopyable {
  package var start: UInt32
  package var count: UInt32
  package init(start: UInt32 = 0, count: UInt32 = 0) {
    self.start = start
    self.count = count
  }
}

/// The result of one operation. Fields that the operation has no use for are 0 or empty.
package struct OperationResult: BitwiseCopyable {
  /// `.reason == .none` when the operation stands.
  package var refusal: Refusal = .none
  /// allocate, admit, extend, decode: new block ids. (Targets of copies are never among them.)
  package var newBlocks = Slice32()
  /// decode: new blocks per sequence, empty when none needed a block. forkBlocks: reference counts.
  package var counts = Slice32()
  /// decode: indexes of the sequences refused; `firstRefusal` says why the first was.
  package var refusedIndexes = Slice32()
  package var firstRefusal: Refusal = .none
  package var preempted = Slice32()
  package var copies = Slice32()
  /// admit, extend: tokens that now have slots thanks to this operation.
  package var scheduledTokens: UInt32 = 0
  /// add: the sequence's tokens. append: the sequence's tokens after it.
  package var tokens: UInt32 = 0
  /// add: blocks its tokens need.
  package var blocksNeeded: UInt32 = 0
  /// freeBlocks, freeSequences, preempt, rewind: blocks that became available.
  package var freedBlocks: UInt32 = 0
  /// freeSequences: sequences that went. preempt: sequences preempted. fork: children made.
  /// acknowledgeCopies: copies acknowledged.
  package var affected: UInt32 = 0
  /// copyOnWrite: the block to write.
  package var block: BlockID = 0
  /// Available blocks after this operation.
  package var availableBlocks: UInt32 = 0

  package init() {}
}

/// Copy `tokens` filled slots from `source` to `target`, then acknowledge `id`. Both ends stay
/// pinned until then.
package struct CopyOrder: Equatable, BitwiseCopyable {
  /// Increasing per session, from 1.
  package var id: UInt64
  package var source: BlockID
  package var target: BlockID
  /// 0: nothing is to be copied, but the table entry has changed.
  package var tokens: UInt32
  /// Whose table now holds the target, and where; sequence 0 with `isRaw` for a raw block.
  package var sequence: SequenceID
  package var tableIndex: UInt32
  package var isRaw: Bool

  package init(
    id: UInt64, source: BlockID, target: BlockID, tokens: UInt32, sequence: SequenceID,
    tableIndex: UInt32, isRaw: Bool
  ) {
    self.id = id
    self.source = source
    self.target = target
    self.tokens = tokens
    self.sequence = sequence
    self.tableIndex = tableIndex
    self.isRaw = isRaw
  }
}

/// A growing list of plain values in memory of its own. Never shrinks; elements must be trivial.
package struct FlatList<Element: BitwiseCopyable>: ~Copyable {
  package private(set) var base: UnsafeMutablePointer<Element>
  package private(set) var count: Int
  private var capacity: Int

  package init(minimumCapacity: Int = 16) {
    capacity = max(minimumCapacity, 1)
    base = .allocate(capacity: capacity)
    count = 0
  }

  deinit { base.deallocate() }

  /// Borrowed: valid until the list grows.
  package var elements: UnsafeBufferPointer<Element> { .init(start: base, count: count) }

  package func elements(_ slice: Slice32) -> UnsafeBufferPointer<Element> {
    precondition(Int(slice.start) + Int(slice.count) <= count, "a slice outside its list")
    return .init(start: base + Int(slice.start), count: Int(slice.count))
  }

  package mutating func removeAll() { count = 0 }

  package mutating func append(_ element: Element) {
    if count == capacity { grow(to: count + 1) }
    (base + count).initialize(to: element)
    count += 1
  }

  package mutating func removeLast(_ n: Int) {
    precondition(n <= count, "removed more than there is")
    count -= n
  }

  package mutating func grow(to needed: Int) {
    guard needed > capacity else { return }
    let larger = max(capacity * 2, needed)
    let moved = UnsafeMutablePointer<Element>.allocate(capacity: larger)
    moved.moveInitialize(from: base, count: count)
    base.deallocate()
    base = moved
    capacity = larger
  }

  package subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "an index outside its list")
      return base[index]
    }
    set {
      precondition(index >= 0 && index < count, "an index outside its list")
      base[index] = newValue
    }
  }
}
