internal import CQuireProtos

// pools.proto: a pool in bytes.

package struct DumpPoolRequest: WireMessage {
  package static var kind: MessageKind { .dumpPoolRequest }
  private let m: UnsafePointer<Quire__V1__DumpPoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__DumpPoolRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
}

package struct LoadPoolRequest: WireMessage {
  package static var kind: MessageKind { .loadPoolRequest }
  private let m: UnsafePointer<Quire__V1__LoadPoolRequest>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__LoadPoolRequest.self)
  }
  package var call: CallMessage { .init(m.pointee.call) }
  /// UTF-8; empty = "default".
  package var name: UnsafeBufferPointer<UInt8> { text(m.pointee.name) }
  package var ifExists: IfExists { IfExists(rawValue: m.pointee.if_exists.rawValue) ?? .error }
  /// Whether nothing is set but the data, as in all messages of a stream but the first.
  package var isDataOnly: Bool {
    m.pointee.call == nil && m.pointee.name.len == 0 && m.pointee.if_exists.rawValue == 0
  }
  package var data: UnsafeRawBufferPointer { UnsafeRawBufferPointer(text(m.pointee.data)) }
}

extension MessagePacker {
  package mutating func poolDumpChunk(
    revision: UInt64, stateDigest: UInt64, totalBytes: Int, offset: Int,
    data: UnsafeRawBufferPointer
  ) {
    bytes(5, data)
    uint64(4, UInt64(offset))
    uint64(3, UInt64(totalBytes))
    fixed64(2, stateDigest)
    uint64(1, revision)
  }
}
