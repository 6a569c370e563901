import BlockService
import Testing

@Suite("The ring of batches")
struct EventRingTests {
  private static let ringBytes = 1 << 20

  /// A ring of a mebibyte, of which every run is looked at: it lies within the memory, and of each batch
  /// the first and the last byte are its number.
  private static func check(batchBytes: Int) {
    var ring = EventRing(bytes: ringBytes, batches: 10_000, first: 1)
    var memory: UnsafeMutableRawPointer?
    for number in 1...UInt64(3_000) {
      let place = ring.append(byteCount: batchBytes, headerCount: 0, contents: [])
      if memory == nil { memory = place }
      place.initializeMemory(as: UInt8.self, repeating: UInt8(number % 251), count: batchBytes)
      // Around the wraps of batches of 1,024 bytes, and at the end.
      if ![1_022, 1_023, 1_024, 1_025, 1_500, 2_045, 2_046, 2_047, 2_048, 3_000].contains(number) {
        continue
      }
      guard let start = memory.map({ UnsafeRawPointer($0) }) else { return }
      var next = ring.first
      while next < ring.next {
        let (bytes, batches) = ring.run(from: next, [], most: 64 << 10)
        guard let base = bytes.baseAddress, batches > 0 else {
          Issue.record("an empty run at batch \(next)")
          return
        }
        let isInside = base >= start && base + bytes.count <= start + ringBytes
        guard isInside, bytes.count == Int(batches) * batchBytes else {
          Issue.record("batch \(next) of \(number) is read beyond the memory")
          return
        }
        for batch in 0..<Int(batches) {
          let expected = UInt8((next + UInt64(batch)) % 251)
          let first = bytes[batch * batchBytes]
          let last = bytes[(batch + 1) * batchBytes - 1]
          #expect(first == expected && last == expected, "batch \(next) + \(batch) of \(number)")
        }
        next += batches
      }
    }
  }

  @Test(
    "what is read at once lies within its memory, where batches divide it and where they do not",
    arguments: [1_024, 1_000, 4_096, 262_144])
  func runs(batchBytes: Int) { Self.check(batchBytes: batchBytes) }
}
