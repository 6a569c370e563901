/// What gRPC adds to HTTP/2: message frames, statuses, metadata encodings, and the table of methods.
/// Pure Swift. This module never touches a socket, a session or a block.

/// Cuts messages out of a stream's DATA, wherever its slices begin and end.
///
/// A frame is a flag byte, a big-endian length (`UInt32`) and that many bytes. A message that lies
/// whole in one slice is handed out in place; otherwise it is gathered in a buffer that grows with
/// the bytes that really came, so that a prefix alone cannot claim memory.
package struct MessageFramer: ~Copyable {
  package enum Step {
    /// One whole message. Points into the input or into the framer: valid until the next call.
    case message(UnsafeRawBufferPointer)
    /// The same, compressed. Only with `acceptsCompressed`.
    case compressed(UnsafeRawBufferPointer)
    /// The input is used up.
    case needsMore
    /// The stream cannot be read on. Do not call again before `reset`.
    case failed(FramingError)
  }

  package let limitBytes: Int
  /// Whether the stream named an encoding that is spoken here. Gone with `reset`.
  package var acceptsCompressed = false
  private var prefix: UInt64 = 0
  private var prefixCount = 0
  private var length = 0
  private var isCompressed = false
  private var storage: UnsafeMutableRawPointer?
  /// Bytes of memory held for messages that come in pieces.
  package private(set) var capacity = 0
  private var stored = 0
  private static let prefixLength = 5
  private static let firstReservation = 65_536
  /// What `reset` keeps: every pooled call may have as much.
  private static let keptBytes = 4_096

  /// - Parameter limitBytes: The longest message that is accepted, without its prefix.
  package init(limitBytes: Int = 4 << 20) {
    precondition(limitBytes >= 0)
    self.limitBytes = limitBytes
  }

  deinit { storage?.deallocate() }

  /// False in the middle of a message: a stream that ends there was truncated.
  package var isBetweenMessages: Bool { prefixCount == 0 }

  /// Bytes of the message under way that have come; 0 between messages.
  package var gatheredBytes: Int { prefixCount == 0 ? 0 : prefixCount + stored }

  /// Forgets a half message. Keeps at most 4 KiB of memory.
  package mutating func reset() {
    prefix = 0
    prefixCount = 0
    length = 0
    acceptsCompressed = false
    stored = 0
    trim()
  }

  /// Bytes that the stream has us keep: of its message under way, and the memory that is for it or was
  /// for the last one, unless that is what every call may have.
  package var heldBytes: Int {
    max(gatheredBytes, capacity > MessageFramer.keptBytes ? capacity : 0)
  }

  /// Gives the memory of the last message back: the caller is done with it and does not read on now.
  /// Does nothing inside a message.
  package mutating func rest() { if prefixCount == 0 { trim() } }

  private mutating func trim() {
    if capacity <= MessageFramer.keptBytes { return }
    storage?.deallocate()
    storage = nil
    capacity = 0
  }

  /// Takes bytes off the front of `input` up to the end of one message.
  @inline(__always)
  package mutating func next(_ input: inout UnsafeRawBufferPointer) -> Step {
    if prefixCount == 0, input.count >= MessageFramer.prefixLength {
      let base = input.baseAddress.unsafelyUnwrapped
      let size = Int(UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
      let end = MessageFramer.prefixLength + size
      if base.load(as: UInt8.self) == 0, size <= limitBytes, input.count >= end {
        let message = UnsafeRawBufferPointer(start: base + 5, count: size)
        input = UnsafeRawBufferPointer(start: base + end, count: input.count - end)
        return .message(message)
      }
    }
    return gather(&input)
  }

  @inline(never)
  private mutating func gather(_ input: inout UnsafeRawBufferPointer) -> Step {
    while prefixCount < MessageFramer.prefixLength {
      guard let byte = input.first else {
        // Between messages a stream may be silent for hours, and there may be many.
        if prefixCount == 0 { trim() }
        return .needsMore
      }
      input = UnsafeRawBufferPointer(rebasing: input.dropFirst())
      prefix = prefix << 8 | UInt64(byte)
      prefixCount += 1
      stored = 0
      if prefixCount < MessageFramer.prefixLength { continue }
      let flag = UInt8(truncatingIfNeeded: prefix >> 32)
      if flag > 1 { return .failed(.badFlag(flag)) }
      length = Int(prefix & 0xFFFF_FFFF)
      if length > limitBytes { return .failed(.tooLarge(length: length, limit: limitBytes)) }
      isCompressed = flag == 1
      if isCompressed, !acceptsCompressed { return .failed(.compressed) }
    }
    let count = min(length - stored, input.count)
    if count > 0 {
      reserve(stored + count)
      (storage.unsafelyUnwrapped + stored).copyMemory(
        from: input.baseAddress.unsafelyUnwrapped, byteCount: count)
      stored += count
      input = UnsafeRawBufferPointer(rebasing: input.dropFirst(count))
    }
    if stored < length { return .needsMore }
    prefixCount = 0
    prefix = 0
    let message = UnsafeRawBufferPointer(start: storage, count: length)
    return isCompressed ? .compressed(message) : .message(message)
  }

  private mutating func reserve(_ needed: Int) {
    if needed <= capacity { return }
    // Doubling, but never more than the message needs or, at first, than 64 KiB.
    let larger = max(
      needed, min(length, max(MessageFramer.firstReservation, capacity * 2)))
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    if let storage {
      moved.copyMemory(from: storage, byteCount: stored)
      storage.deallocate()
    }
    storage = moved
    capacity = larger
  }

  /// Marks the message whose prefix is at `place` as compressed.
  package static func markCompressed(_ place: UnsafeMutableRawPointer) {
    place.storeBytes(of: 1, as: UInt8.self)
  }

  /// Writes the prefix of an uncompressed message of `byteCount` bytes to the 5 bytes at `place`.
  @inline(__always)
  package static func writePrefix(_ byteCount: Int, to place: UnsafeMutableRawPointer) {
    place.storeBytes(of: 0, as: UInt8.self)
    place.storeBytes(
      of: UInt32(truncatingIfNeeded: byteCount).bigEndian, toByteOffset: 1, as: UInt32.self)
  }
}

/// Why a stream of messages cannot be read on.
package enum FramingError: Error, Equatable, Sendable {
  case tooLarge(length: Int, limit: Int)
  /// The flag byte is neither 0 nor 1.
  case badFlag(UInt8)
  /// The message is compressed; no encoding was agreed on.
  case compressed

  package var status: Status {
    switch self {
    case .tooLarge(let length, let limit):
      Status(.resourceExhausted, "message of \(length) bytes is longer than the limit of \(limit)")
    case .badFlag(let flag): Status(.internal, "message flag \(flag) is neither 0 nor 1")
    case .compressed: Status(.internal, "compressed message without an agreed grpc-encoding")
    }
  }
}
