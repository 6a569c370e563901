/// What sequences want of their blocks once nobody holds them: the ranges they came with, copied.
extension HashChains {
  func retention(of slot: UInt32) -> UnsafeBufferPointer<RetentionRange> {
    let chain = chains[Int(slot)]
    return .init(start: chain.retention, count: Int(chain.retentionCount))
  }

  /// Of a chain that has just been started.
  func startRetention(_ ranges: UnsafeBufferPointer<RetentionRange>, of slot: UInt32) {
    guard let source = ranges.baseAddress, ranges.count > 0 else { return }
    let copy = UnsafeMutablePointer<RetentionRange>.allocate(capacity: ranges.count)
    copy.initialize(from: source, count: ranges.count)
    undo.created(copy)
    save(slot)
    chains[Int(slot)].retention = copy
    chains[Int(slot)].retentionCount = UInt32(ranges.count)
  }

  func writeRetention(of slot: UInt32, to writer: StateWriter) {
    let ranges = retention(of: slot)
    writer.u8(UInt8(ranges.count))
    for range in ranges {
      writer.u32(range.firstToken)
      writer.u32(range.lastToken)
      writer.u32(range.priority)
      writer.u64(range.timeToLive)
    }
  }

  func readRetention(
    from reader: inout StateReader
  ) throws(StateFailure) -> [RetentionRange] {
    let count = try reader.u8()
    if count > RetentionRange.most { throw reader.failure("a sequence has \(count) ranges") }
    var ranges: [RetentionRange] = []
    for _ in 0..<count {
      let range = RetentionRange(
        firstToken: try reader.u32(), lastToken: try reader.u32(), priority: try reader.u32(),
        timeToLive: try reader.u64())
      if !range.isValid { throw reader.failure("a retention range is out of its limits") }
      ranges.append(range)
    }
    return ranges
  }
}
