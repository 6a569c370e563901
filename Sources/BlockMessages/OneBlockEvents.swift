/// Events about one block, which is what most are: each length is a single byte, and known where it stands.
package struct OneBlockEvents {
  /// What one takes at most.
  package static let mostBytes = 96

  private let hashBytes: Int

  package init(hashBytes: Int) {
    precondition(hashBytes == 32 || hashBytes == 16, "a hash of neither length")
    self.hashBytes = hashBytes
  }

  /// What `StoredEvent` writes of one block, without token ids, a LoRA and a size class. Returns how many bytes
  /// it took.
  package func writeStored(
    hash: UnsafeRawPointer, parent: UnsafeRawPointer?, blockSize: UInt32, blockID: UInt32,
    session: UInt64, to place: UnsafeMutableRawPointer
  ) -> Int {
    var writer = ForwardWriter(at: place + 4)
    writer.shortHash(1, hash, hashBytes)
    if let parent { writer.shortHash(2, parent, hashBytes) }
    writer.number(4, UInt64(blockSize))
    writer.shortList(5, blockID)
    writer.fixed64(9, session)
    return writer.finishShortEvent(.stored, at: place)
  }

  /// What `RemovedEvent` writes of one block as `removed`, without a size class. Returns how many bytes it took.
  package func writeRemoved(
    hash: UnsafeRawPointer, blockID: UInt32, cause: EventCause,
    to place: UnsafeMutableRawPointer
  ) -> Int {
    var writer = ForwardWriter(at: place + 4)
    writer.shortHash(1, hash, hashBytes)
    writer.shortList(2, blockID)
    writer.number(6, UInt64(cause.rawValue))
    return writer.finishShortEvent(.removed, at: place)
  }
}

extension ForwardWriter {
  @inline(__always)
  fileprivate mutating func shortHash(_ field: UInt8, _ source: UnsafeRawPointer, _ bytes: Int) {
    byte(field << 3 | 2)
    byte(UInt8(truncatingIfNeeded: bytes))
    hash(source, bytes)
  }

  /// A packed list of one value.
  @inline(__always)
  fileprivate mutating func shortList(_ field: UInt8, _ value: UInt32) {
    let start = place
    skip(2)
    varint(UInt64(value))
    start.storeBytes(of: field << 3 | 2, as: UInt8.self)
    start.storeBytes(
      of: UInt8(truncatingIfNeeded: place - start - 2), toByteOffset: 1, as: UInt8.self)
  }

  /// The prefixes before the fields, which begin 4 bytes behind `start`. Returns what the event took.
  @inline(__always)
  fileprivate func finishShortEvent(_ kind: EventKind, at start: UnsafeMutableRawPointer) -> Int {
    let count = place - start
    assert(count < 128, "an event whose length takes two bytes")
    start.storeBytes(of: UInt8(MessagePacker.eventsField << 3 | 2), as: UInt8.self)
    start.storeBytes(of: UInt8(truncatingIfNeeded: count - 2), toByteOffset: 1, as: UInt8.self)
    start.storeBytes(
      of: UInt8(truncatingIfNeeded: kind.rawValue << 3 | 2), toByteOffset: 2, as: UInt8.self)
    start.storeBytes(of: UInt8(truncatingIfNeeded: count - 4), toByteOffset: 3, as: UInt8.self)
    return count
  }
}
