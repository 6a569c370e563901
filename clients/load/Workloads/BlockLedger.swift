/// Who holds which block, by the pool's own answers: the client's check that no block is ever handed
/// out twice, and that every sequence got as many as its tokens need.
///
/// Two 4-byte words per block of the pool; taking and releasing are O(1) a block.
struct BlockLedger {
  /// A holder's new blocks as a list through `next`, where the empty list is `first == 0`, and those that it
  /// found in the cache.
  struct Holding: Equatable {
    var first: UInt32 = 0
    /// Of both.
    var count: UInt32 = 0
    var found: [UInt32] = []
  }

  enum Fault: Error, Equatable {
    /// The pool said it has no such block.
    case outOfRange(UInt32)
    case heldAlready(UInt32)
  }

  private var references: [UInt32]
  private var next: [UInt32]
  private(set) var heldBlocks = 0
  /// References to blocks beyond the first of each.
  private(set) var sharedReferences = 0

  /// Blocks are 1 ... `blocks`.
  init(blocks: UInt32) {
    references = Array(repeating: 0, count: Int(blocks) + 1)
    next = Array(repeating: 0, count: Int(blocks) + 1)
  }

  /// A block that was handed out: nobody has it.
  mutating func take(_ block: UInt32, into holding: inout Holding) throws(Fault) {
    guard block >= 1, Int(block) < references.count else { throw .outOfRange(block) }
    guard references[Int(block)] == 0 else { throw .heldAlready(block) }
    references[Int(block)] = 1
    next[Int(block)] = holding.first
    holding.first = block
    holding.count += 1
    heldBlocks += 1
  }

  /// A block that was found in the cache: others may have it.
  mutating func share(_ block: UInt32, into holding: inout Holding) throws(Fault) {
    guard block >= 1, Int(block) < references.count else { throw .outOfRange(block) }
    if references[Int(block)] == 0 { heldBlocks += 1 } else { sharedReferences += 1 }
    references[Int(block)] += 1
    holding.found.append(block)
    holding.count += 1
  }

  mutating func release(_ holding: inout Holding) {
    var block = holding.first
    while block != 0 {
      drop(block)
      block = next[Int(block)]
    }
    for block in holding.found { drop(block) }
    holding = Holding()
  }

  private mutating func drop(_ block: UInt32) {
    references[Int(block)] -= 1
    if references[Int(block)] == 0 { heldBlocks -= 1 } else { sharedReferences -= 1 }
  }
}
