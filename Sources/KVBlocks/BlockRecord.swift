/// All that the hot path needs to know of a block, in half a cache line: exactly 32 bytes.
///
/// Record 0 belongs to the null block, which no one holds; its links are the two ends of the free
/// queue.
struct BlockRecord: BitwiseCopyable {
  /// References from tables and raw holds; 0 = free, cached or pinned.
  var refCount: UInt32 = 0
  /// Free queue neighbours, 0 at the ends and while the block is not in the queue. (Of a block that
  /// was handed out in a rounded run see `BlockPool.takeRun`.)
  var previous: UInt32 = 0
  var next: UInt32 = 0
  var holder = Holder.none
  /// The next block with the same content, itself where there is no other; 0 = the block has no
  /// content that could be hit. `PrefixIndex` keeps it.
  var twin: UInt32 = 0
  /// Low 32 bits of the revision that handed the block out.
  var generation: UInt32 = 0
  /// Ends of copies under way, and one more where sessions pin its content.
  var pins: UInt16 = 0
  var sizeClass: UInt8 = 0
  var group: UInt8 = 0
  /// Low 32 bits of the revision that last handed out or forked the block.
  var lastTouch: UInt32 = 0
}

/// Who holds a block, in 32 bits: a tag in the upper two, a slot below.
///
/// The common case, one holder, needs nothing else. From the second hold on the record says
/// `shared`: block tables and the table of raw holds know the rest.
package struct Holder: Equatable, BitwiseCopyable {
  let bits: UInt32

  static let none = Holder(bits: 0)
  static let shared = Holder(bits: 3 << 30)
  /// Nobody's: taken with an allocation that was rounded up, until all of that is given back.
  static let rounding = Holder(bits: 3 << 30 | 1)
  /// Nobody's: its free waits for the batch. `previous` is its place in the list.
  static let pending = Holder(bits: 3 << 30 | 2)
  /// Raw, by the session in this slot.
  package static func raw(_ session: UInt32) -> Holder { Holder(bits: 1 << 30 | session) }
  /// The table of the sequence in this slot.
  static func sequence(_ slot: UInt32) -> Holder { Holder(bits: 2 << 30 | slot) }

  /// Slots of sessions and sequences stay below this.
  static let maximumSlots: UInt32 = 1 << 30

  var isRaw: Bool { bits >> 30 == 1 }
  var isSequence: Bool { bits >> 30 == 2 }
  var slot: UInt32 { bits & (1 << 30 - 1) }
}

/// A block as the outside sees it.
package struct BlockView: Equatable {
  package var state: BlockState
  package var refCount: UInt32
  package var generation: UInt32
  /// Ends of copies under way, and one more where sessions pin its content.
  package var pins: UInt16

  package init(state: BlockState, refCount: UInt32, generation: UInt32, pins: UInt16) {
    self.state = state
    self.refCount = refCount
    self.generation = generation
    self.pins = pins
  }
}

/// The parts that make up a pool; every block is in exactly one.
package enum BlockState: UInt8 {
  case free, cached, active, shared, pinned
  /// Freed, and waiting for its batch.
  case pending
}
