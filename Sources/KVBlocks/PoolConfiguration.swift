/// What a pool is made with.
package struct PoolConfiguration: Equatable {
  /// Usable blocks N, 1 ... `maximumBlocks`; their ids are 1 ... N.
  package var blocks: UInt32
  /// Tokens per block, 1 ... `maximumBlockSize`.
  package var blockSize: UInt32
  package var copyAck: CopyAck

  package static let maximumBlocks: UInt32 = 1 << 28
  package static let maximumBlockSize: UInt32 = 1 << 16

  package init(blocks: UInt32, blockSize: UInt32, copyAck: CopyAck = .nextStep) {
    precondition(blocks >= 1 && blocks <= Self.maximumBlocks, "blocks out of range")
    precondition(blockSize >= 1 && blockSize <= Self.maximumBlockSize, "block size out of range")
    self.blocks = blocks
    self.blockSize = blockSize
    self.copyAck = copyAck
  }
}

/// When an ordered copy counts as done.
package enum CopyAck: UInt8 {
  /// When its session steps again (or acknowledges it).
  case nextStep
  /// Only when it is acknowledged.
  case explicit
}
