internal import CQuireProtos

/// protobuf-c as the other opinion, for tests: what it packs from what it unpacked.
///
/// A message that our packer wrote comes back byte for byte when both agree on every field's number,
/// type and order, and on which values are left out.
package enum MessageOracle {
  /// nil when protobuf-c does not accept `bytes`, or found fields that the message does not have.
  package static func repack(_ bytes: UnsafeRawBufferPointer, as kind: MessageKind) -> [UInt8]? {
    let arena = MessageArena()
    arena.reset(forMessageOf: bytes.count)
    guard let raw = arena.unpack(kind.descriptor, from: bytes) else { return nil }
    let message = raw.assumingMemoryBound(to: ProtobufCMessage.self)
    guard message.pointee.n_unknown_fields == 0 else { return nil }
    return [UInt8](unsafeUninitializedCapacity: protobuf_c_message_get_packed_size(message)) {
      buffer, count in
      count = protobuf_c_message_pack(message, buffer.baseAddress)
    }
  }

  /// Whether protobuf-c reads `bytes` as a message, with or without fields it does not know.
  package static func accepts(_ bytes: UnsafeRawBufferPointer, as kind: MessageKind) -> Bool {
    let arena = MessageArena()
    arena.reset(forMessageOf: bytes.count)
    return arena.unpack(kind.descriptor, from: bytes) != nil
  }
}
