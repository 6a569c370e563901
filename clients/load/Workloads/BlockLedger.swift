/// Who holds which block, by the pool's own answers: the client's check that no block is ever handed
/// out twice, and that every sequence got as many as its tokens need.
///
/// Two 4-byte words per block of the pool; taking and releasing are O(1) a block.
struct BlockLedger {
  /// A holder's blocks as a list through `next`; the empty list is `first == 0`.
  struct Holding: Equatable, BitwiseCopyable {
    var first: UInt32 = 0
    var count: UInt32 = 0
  }

  enum Fault: Error, Equatable {
    /// The pool said it has no such block.
    case outOfRange(UInt32)
    case heldAlready(UInt32)
  }

  private var isHeld: [Bool]
  private var next: [UInt32]
  private(set) var heldBlocks = 0

  /// Blocks are 1 ... `blocks`.
  init(blocks: UInt32) {
    isHeld = Array(repeating: false, count: Int(blocks) + 1)
    next = Array(repeating: 0, count: Int(blocks) + 1)
  }

  mutating func take(_ block: UInt32, into holding: inout Holding) throws(Fault) {
    guard block >= 1, Int(block) < isHeld.count else { throw .outOfRange(block) }
    guard !isHeld[Int(block)] else { throw .heldAlready(block) }
    isHeld[Int(block)] = true
    next[Int(block)] = holding.first
    holding.first = block
    holding.count += 1
    heldBlocks += 1
  }

  mutating func release(_ holding: inout Holding) {
    var block = holding.first
    while block != 0 {
      isHeld[Int(block)] = false
      block = next[Int(block)]
    }
    heldBlocks -= Int(holding.count)
    holding = Holding()
  }
}
