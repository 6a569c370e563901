/// What the model makes of a token, and what it lets a pool say in bytes.
package struct KVGeometry: Equatable, BitwiseCopyable, Sendable {
  package var layers: UInt32
  package var kvHeads: UInt32
  /// Elements of one head.
  package var headSize: UInt32
  /// Bytes of one element.
  package var dtypeBytes: UInt32

  package init(layers: UInt32, kvHeads: UInt32, headSize: UInt32, dtypeBytes: UInt32) {
    self.layers = layers
    self.kvHeads = kvHeads
    self.headSize = headSize
    self.dtypeBytes = dtypeBytes
  }

  /// Bytes of KV memory that can be told of, in all: beyond any machine, and exact as a `Double`.
  package static let maximumBytes: UInt64 = 1 << 53

  /// Keys and values of all layers: 2 x layers x `blockSize` x heads x head size x bytes of an element
  /// (16 tokens of Llama-2-7B in 16 bits: 8 MiB). nil when a factor is 0 or the product is over
  /// `maximumBytes`.
  package func bytesPerBlock(_ blockSize: UInt32) -> UInt64? {
    var bytes: UInt64 = 2
    for factor in [layers, blockSize, kvHeads, headSize, dtypeBytes] {
      let (product, overflows) = bytes.multipliedReportingOverflow(by: UInt64(factor))
      if overflows || product == 0 || product > Self.maximumBytes { return nil }
      bytes = product
    }
    return bytes
  }

  /// Blocks of `bytesPerBlock` bytes in a share of `kvBytes`, which are at most `maximumBytes`:
  /// floor(kvBytes x utilization / bytesPerBlock).
  package static func blocks(
    in kvBytes: UInt64, utilization: Double, bytesPerBlock: UInt64
  ) -> UInt64 {
    precondition(kvBytes <= maximumBytes && bytesPerBlock > 0, "bytes out of range")
    precondition(utilization > 0 && utilization <= 1, "a share out of range")
    if utilization == 1 { return kvBytes / bytesPerBlock }
    return UInt64(Double(kvBytes) * utilization) / bytesPerBlock
  }
}

/// Where the number of blocks of a pool came from.
package struct KVBudget: Equatable, BitwiseCopyable, Sendable {
  /// Bytes of KV memory, at most `KVGeometry.maximumBytes`.
  package var bytes: UInt64
  /// Share of them that blocks take, over 0 to 1.
  package var utilization: Double

  /// MemoryConfig's.
  package static let defaultUtilization = 0.9
  package static let defaultBlockSize: UInt32 = 16

  package init(bytes: UInt64, utilization: Double) {
    self.bytes = bytes
    self.utilization = utilization
  }
}

extension PoolConfiguration {
  /// Bytes of one block; 0 without a geometry and with size classes. Block `id` lies `id` times as many bytes behind the
  /// beginning of the KV memory; the null block is at 0.
  package var bytesPerBlock: UInt64 {
    sizeClasses.isEmpty ? geometry?.bytesPerBlock(blockSize) ?? 0 : 0
  }

  /// Bytes of the usable blocks; 0 without a geometry.
  package var capacityBytes: UInt64 {
    sizeClasses.isEmpty
      ? UInt64(blocks) * bytesPerBlock
      : sizeClasses.reduce(0) { $0 + UInt64($1.blocks) * bytes($1) }
  }

  /// Bytes of the memory that block ids lead into: one block more, the null block. With size classes
  /// it is as large as the largest.
  package var bufferBytes: UInt64 {
    sizeClasses.last.map { bytes($0) + capacityBytes } ?? (UInt64(blocks) + 1) * bytesPerBlock
  }

  private func bytes(_ sizeClass: SizeClass) -> UInt64 {
    geometry?.bytesPerBlock(sizeClass.blockSize) ?? 0
  }

  /// Where the first block of a size class lies behind the beginning of the KV memory: behind the null
  /// block and the classes before. 0 without a geometry.
  package func offset(ofClass index: Int) -> UInt64 {
    let null = sizeClasses.last.map { bytes($0) } ?? 0
    return sizeClasses[..<index].reduce(null) { $0 + UInt64($1.blocks) * bytes($1) }
  }
}

extension KVGeometry {
  func write(to writer: StateWriter) {
    writer.u32(layers)
    writer.u32(kvHeads)
    writer.u32(headSize)
    writer.u32(dtypeBytes)
  }

  /// Of a pool with so many blocks of so many tokens.
  init(
    from reader: inout StateReader, blocks: UInt32, blockSize: UInt32
  ) throws(StateFailure) {
    self.init(
      layers: try reader.u32(), kvHeads: try reader.u32(), headSize: try reader.u32(),
      dtypeBytes: try reader.u32())
    guard let bytes = bytesPerBlock(blockSize), bytes <= Self.maximumBytes / (UInt64(blocks) + 1)
    else { throw reader.failure("the geometry makes blocks of no size, or of too many bytes") }
  }
}

extension KVBudget {
  func write(to writer: StateWriter) {
    writer.u64(bytes)
    writer.f64(utilization)
  }

  init(from reader: inout StateReader) throws(StateFailure) {
    self.init(bytes: try reader.counter("kv_bytes"), utilization: try reader.f64())
    guard bytes <= KVGeometry.maximumBytes && utilization > 0 && utilization <= 1 else {
      throw reader.failure("kv_bytes or memory_utilization is out of its limits")
    }
  }
}
