internal import CQuireProtos

/// Turns the bytes of a message into a view of it, and checks on the way what the wire does not.
///
/// Owns the arena the message lives in: a view, and every buffer it gives out, is valid until the
/// next call of `decode`. Make one per thread and keep it. A client decodes replies with it too;
/// these are not checked.
package final class MessageDecoder {
  private let arena: MessageArena
  private let contract = RequestContract.shared
  private let plain = PlainRequests()
  /// Room for the numbers of a plain list; longer messages go to protobuf-c.
  private let plainNumbers = UnsafeMutablePointer<UInt32>.allocate(capacity: plainBytes)
  private static let plainBytes = 4_096

  package init(arena: MessageArena = MessageArena()) { self.arena = arena }

  deinit {
    plain.deallocate()
    plainNumbers.deallocate()
  }

  /// Decodes `bytes` as one whole message of type `Message`.
  ///
  /// - Throws: `.malformed` when they are no such message, `.tooLarge` when the decoded message
  ///   passes the arena's budget; for requests `.invalid` when a string is no text or an enum value
  ///   is unknown, and `.unserved` when a field is set that this server does not serve yet.
  /// - Complexity: O(bytes); no heap allocation in the common case.
  package func decode<Message: WireMessage>(
    _ type: Message.Type, from bytes: UnsafeRawBufferPointer
  ) throws(DecodeFailure) -> Message {
    arena.reset(forMessageOf: bytes.count)
    let kind = Message.kind
    guard let message = arena.unpack(contract.descriptor(of: kind), from: bytes) else {
      if arena.isExhausted {
        throw .tooLarge(budget: arena.budget(byteCount: bytes.count))
      }
      throw .malformed(contract.name(of: kind))
    }
    if let failure = contract.firstFailure(in: message, of: kind) { throw failure }
    return Message(message)
  }

  /// The same for the shortest of requests; what is not plain is decoded like any other.
  @inline(__always)
  package func decodeAllocate(
    _ bytes: UnsafeRawBufferPointer
  ) throws(DecodeFailure) -> AllocateRequest {
    if let message = plain.allocateRequest(bytes) { return AllocateRequest(message) }
    return try decode(AllocateRequest.self, from: bytes)
  }

  @inline(__always)
  package func decodeFree(_ bytes: UnsafeRawBufferPointer) throws(DecodeFailure) -> FreeRequest {
    if bytes.count <= Self.plainBytes,
      let message = plain.freeRequest(bytes, room: plainNumbers)
    {
      return FreeRequest(message)
    }
    return try decode(FreeRequest.self, from: bytes)
  }

  /// Bytes the last message took up once decoded.
  package var decodedBytes: Int { arena.usedBytes }
}

/// Why bytes were not accepted as a message.
package enum DecodeFailure: Error, Equatable {
  /// The bytes are no message of this name.
  case malformed(String)
  /// The decoded message would need more than `budget` bytes of memory.
  case tooLarge(budget: Int)
  /// The field at this path holds what its type allows and its meaning does not.
  case invalid(field: String, problem: String)
  /// The field at this path is set and not served yet.
  case unserved(field: String)
}

/// A view of a decoded message: plain values over memory that the decoder owns.
package protocol WireMessage {
  static var kind: MessageKind { get }
  init(_ message: UnsafeRawPointer)
}
