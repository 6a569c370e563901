/// One block size of a pool that has several. Ids run on from class to class.
package struct SizeClass: Equatable, BitwiseCopyable, Sendable {
  /// Tokens per block.
  package var blockSize: UInt32
  package var blocks: UInt32
  /// Sequences that are expected to have at most so many tokens go here; 0 = all that are longer
  /// than the classes before take.
  package var maxExpectedTokens: UInt32

  /// Classes of one pool: the number of a class is one byte of a block's record.
  package static let maximumCount = 16
  /// Blocks of all classes: one less than other pools may have, for a promise names its class in the
  /// upper bits of a number of blocks (`KVPool.Promise`).
  package static let maximumBlocks = PoolConfiguration.maximumBlocks - 1
  /// Where two classes do not say what goes where, the smaller one takes sequences under 200 tokens.
  package static let defaultLimit: UInt32 = 199

  package init(blockSize: UInt32, blocks: UInt32, maxExpectedTokens: UInt32 = 0) {
    self.blockSize = blockSize
    self.blocks = blocks
    self.maxExpectedTokens = maxExpectedTokens
  }

  /// What is wrong with the classes of a pool.
  package struct Problem: Error, Equatable {
    package var index: Int
    package var field: Field
    /// The limit that was broken.
    package var limit: UInt64

    package init(index: Int, field: Field, limit: UInt64) {
      self.index = index
      self.field = field
      self.limit = limit
    }

    package enum Field: Equatable {
      /// Too many classes. One is enough.
      case count
      /// Out of range, or not larger than that of the class before, `limit`.
      case blockSize
      /// 0, or more than all may have.
      case blocks
      /// Not above that of the class before, `limit`; or 0 before the last class.
      case maxExpectedTokens
      /// The last class takes all the rest.
      case lastMaxExpectedTokens
    }
  }

  /// Complete classes, in order: block sizes ascend, limits ascend, and the last one has none.
  package static func checked(_ classes: [SizeClass]) throws(Problem) -> [SizeClass] {
    if classes.count > maximumCount {
      throw Problem(index: maximumCount, field: .count, limit: UInt64(maximumCount))
    }
    var complete = classes
    if classes.count == 2 && classes[0].maxExpectedTokens == 0 {
      complete[0].maxExpectedTokens = defaultLimit
    }
    var size: UInt32 = 0
    var limit: UInt32 = 0
    var total: UInt64 = 0
    for (i, one) in complete.enumerated() {
      if one.blockSize <= size || one.blockSize > PoolConfiguration.maximumBlockSize {
        throw Problem(index: i, field: .blockSize, limit: UInt64(size))
      }
      total += UInt64(one.blocks)
      if one.blocks == 0 || total > UInt64(maximumBlocks) {
        throw Problem(index: i, field: .blocks, limit: UInt64(maximumBlocks))
      }
      if i == complete.count - 1 {
        if one.maxExpectedTokens != 0 {
          throw Problem(index: i, field: .lastMaxExpectedTokens, limit: 0)
        }
      } else if one.maxExpectedTokens <= limit {
        throw Problem(index: i, field: .maxExpectedTokens, limit: UInt64(limit))
      }
      size = one.blockSize
      limit = one.maxExpectedTokens
    }
    return complete
  }
}

extension PoolConfiguration {
  /// The id before the first block of each class.
  var classStarts: [UInt32] {
    var next: UInt32 = 0
    return sizeClasses.map { one in
      defer { next += one.blocks }
      return next
    }
  }

  /// The watermark in blocks of one class: each keeps its own share, counted as that of a pool.
  func watermarkBlocks(ofClass index: Int) -> UInt32 {
    UInt32(watermark * Double(sizeClasses[index].blocks + 1))
  }
}

extension SizeClass {
  /// In front of the configuration; a pool without classes writes nothing.
  static func write(_ classes: [SizeClass], to writer: StateWriter) {
    writer.section("CLAS")
    writer.u8(UInt8(classes.count))
    for one in classes {
      writer.u32(one.blockSize)
      writer.u32(one.blocks)
      writer.u32(one.maxExpectedTokens)
    }
  }

  static func readAll(
    from reader: inout StateReader
  ) throws(StateFailure) -> [SizeClass] {
    if !reader.begins("CLAS") { return [] }
    try reader.section("CLAS")
    var classes: [SizeClass] = []
    for _ in 0..<(try reader.u8()) {
      classes.append(
        SizeClass(
          blockSize: try reader.u32(), blocks: try reader.u32(),
          maxExpectedTokens: try reader.u32()))
    }
    if classes.isEmpty { throw reader.failure("there are no size classes") }
    do throws(Problem) {
      guard try checked(classes) == classes else {
        throw Problem(index: 0, field: .count, limit: 0)
      }
    } catch {
      throw reader.failure("size class \(error.index + 1) contradicts the others or the limits")
    }
    return classes
  }
}

/// One size class of a pool as it is. free + cached + active + shared + pinned + pending are its blocks.
package struct ClassLayout: Equatable {
  package var sizeClass: SizeClass
  /// Its blocks have the ids from here on.
  package var firstBlock: BlockID
  package var free: UInt32 = 0
  package var cached: UInt32 = 0
  package var active: UInt32 = 0
  package var shared: UInt32 = 0
  package var pinned: UInt32 = 0
  /// Available, and their free waits for its batch.
  package var pending: UInt32 = 0
  /// Promised to sequences to come.
  package var reserved: UInt32 = 0
  /// The longest run of free blocks, and of free and cached ones. These two take a scan.
  package var largestFreeRun: UInt32 = 0
  package var largestAvailableRun: UInt32 = 0
  /// Slots of the distinct blocks that sequences hold; of those, slots with a computed token. These
  /// two and the next take a scan.
  package var sequenceSlotsHeld: UInt64 = 0
  package var sequenceSlotsUsed: UInt64 = 0
  /// Blocks that only raw references hold.
  package var rawBlocks: UInt32 = 0

  /// What an allocation can take.
  package var available: UInt32 { free + cached + pending }

  init(sizeClass: SizeClass, firstBlock: BlockID) {
    self.sizeClass = sizeClass
    self.firstBlock = firstBlock
  }
}
