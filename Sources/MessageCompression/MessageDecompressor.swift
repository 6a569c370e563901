/// gRPC's two message encodings. This module owns zlib's streams: whole messages in, whole messages
/// out, each in a fresh context. It knows nothing of frames, headers or calls.
internal import CZlib
package import GRPCWire

/// Unpacks messages, one at a time. One per thread serves all its calls: zlib's state (40 KiB) is
/// made with the first message and reset for each.
package final class MessageDecompressor {
  private let stream: UnsafeMutablePointer<z_stream>
  private var isMade = false
  private var output: UnsafeMutableRawPointer?
  private var capacity = 0
  /// What the last message came to, whether it could be had or not: what it cost.
  package private(set) var unpackedBytes = 0
  /// Memory that is kept from one message to the next: what the kernel has to find and to clear anew
  /// costs more than unpacking into it. A longer message than most limits allow pays for itself.
  private static let keptBytes = 16 << 20
  private static let firstReservation = 4_096

  package init() {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
  }

  deinit {
    if isMade { inflateEnd(stream) }
    stream.deallocate()
    output?.deallocate()
  }

  /// The message that `input` holds compressed. Stops as soon as it is longer than `limitBytes`,
  /// having taken no more memory than that.
  ///
  /// - Returns: Bytes that are valid until the next call.
  package func decompress(
    _ input: UnsafeRawBufferPointer, _ encoding: MessageEncoding, limitBytes: Int
  ) throws(DecompressionError) -> UnsafeRawBufferPointer {
    precondition(limitBytes >= 0 && limitBytes < .max)
    begin(encoding)
    stream.pointee.next_in = UnsafeMutableRawPointer(mutating: input.baseAddress)?
      .assumingMemoryBound(to: UInt8.self)
    stream.pointee.avail_in = UInt32(input.count)
    var count = 0
    defer { unpackedBytes = count }
    while true {
      // One byte more than the limit tells a message that fits from one that does not.
      reserve(count, atMost: limitBytes + 1, hint: input.count)
      let room = min(capacity, limitBytes + 1) - count
      stream.pointee.next_out = (output.unsafelyUnwrapped + count)
        .assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(clamping: room)
      let status = inflate(stream, Z_NO_FLUSH)
      count += Int(UInt32(clamping: room) - stream.pointee.avail_out)
      if count > limitBytes { throw .tooLarge(limit: limitBytes) }
      switch status {
      case Z_STREAM_END:
        if stream.pointee.avail_in > 0 { throw .corrupt("bytes behind its end") }
        return UnsafeRawBufferPointer(start: output, count: count)
      case Z_OK, Z_BUF_ERROR:
        // With room left, zlib stopped because there is no more to read.
        if stream.pointee.avail_out > 0 { throw .corrupt("it is cut short") }
      default:
        throw .corrupt(stream.pointee.msg.map { String(cString: $0) } ?? "zlib error \(status)")
      }
    }
  }

  private func begin(_ encoding: MessageEncoding) {
    let windowBits: Int32 =
      switch encoding {
      case .deflate: 15
      case .gzip: 31
      }
    let status =
      isMade ? inflateReset2(stream, windowBits) : czlib_inflate_init(stream, windowBits)
    precondition(status == Z_OK, "out of memory")
    isMade = true
    if capacity > MessageDecompressor.keptBytes {
      output?.deallocate()
      output = nil
      capacity = 0
    }
  }

  /// More room behind `used` bytes, by doubling, if there is none.
  private func reserve(_ used: Int, atMost limit: Int, hint: Int) {
    if used < capacity { return }
    let wanted = max(MessageDecompressor.firstReservation, min(hint * 2, 1 << 20), capacity * 2)
    let larger = max(used + 1, min(limit, wanted))
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    if let output {
      moved.copyMemory(from: output, byteCount: used)
      output.deallocate()
    }
    output = moved
    capacity = larger
  }
}

/// Why a compressed message cannot be had.
package enum DecompressionError: Error, Equatable, Sendable {
  case tooLarge(limit: Int)
  /// In zlib's words or ours.
  case corrupt(String)

  package var status: Status {
    switch self {
    case .tooLarge(let limit):
      Status(
        .resourceExhausted, "a compressed message unpacks to more than the limit of \(limit) bytes")
    case .corrupt(let reason): Status(.internal, "a compressed message is corrupt: \(reason)")
    }
  }
}
