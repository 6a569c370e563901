import BlockMessages
import Testing

/// A field that is set and not served is refused with its path, never ignored. Each row is packed by
/// hand: the bytes of the field where it lies in its message.
@Suite("Fields that are not served yet")
struct ServedFieldsTests {
  struct Row: Sendable, CustomTestStringConvertible {
    let path: String
    let kind: MessageKind
    let bytes: [UInt8]
    var testDescription: String { path }

    init(_ path: String, _ kind: MessageKind, _ bytes: [UInt8]) {
      self.path = path
      self.kind = kind
      self.bytes = bytes
    }
  }

  /// A nested message or another field of a length: key, length, contents.
  static func nested(_ field: UInt8, _ contents: [UInt8]) -> [UInt8] {
    let key: [UInt8] = field < 16 ? [field << 3 | 2] : [(field << 3 | 2) | 0x80, field >> 4]
    return key + [UInt8(contents.count)] + contents
  }
  static func number(_ field: UInt8, _ value: UInt8 = 1) -> [UInt8] {
    (field < 16 ? [field << 3] : [(field << 3) | 0x80, field >> 4]) + [value]
  }

  static let session: [UInt8] = [0x11, 1, 0, 0, 0, 0, 0, 0, 0]

  static let envelope: [Row] = [
    Row("call.session", .allocateRequest, nested(1, session)),
    Row("call.op_id", .allocateRequest, nested(1, number(3))),
    Row("call.acked_op_id", .allocateRequest, nested(1, number(4))),
    Row("call.op_id", .stepRequest, nested(1, number(3))),
    Row("call.op_id", .getStatsRequest, nested(1, number(3))),
  ]

  @Test("is refused with its path", arguments: envelope)
  func refused(row: Row) {
    #expect(failure(row.kind, row.bytes) == .unserved(field: row.path))
  }

  @Test("is no failure while it is not set")
  func unset() {
    // The same fields with their default values: session 0, contiguous false, an empty list.
    #expect(
      failure(.allocateRequest, Self.nested(1, [0x11] + Array(repeating: 0, count: 8))) == nil)
    #expect(failure(.allocateRequest, Self.nested(2, Self.number(2, 0))) == nil)
    #expect(failure(.allocateRequest, Self.nested(2, Self.nested(3, []))) == nil)
  }

  private func failure(_ kind: MessageKind, _ bytes: [UInt8]) -> DecodeFailure? {
    let decoder = MessageDecoder()
    return bytes.withUnsafeBytes { bytes in
      do {
        switch kind {
        case .allocateRequest: _ = try decoder.decode(AllocateRequest.self, from: bytes)
        case .addRequest: _ = try decoder.decode(AddRequest.self, from: bytes)
        case .admitRequest: _ = try decoder.decode(AdmitRequest.self, from: bytes)
        case .extendRequest: _ = try decoder.decode(ExtendRequest.self, from: bytes)
        case .appendRequest: _ = try decoder.decode(AppendRequest.self, from: bytes)
        case .stepRequest: _ = try decoder.decode(StepRequest.self, from: bytes)
        case .createPoolRequest: _ = try decoder.decode(CreatePoolRequest.self, from: bytes)
        default: _ = try decoder.decode(GetStatsRequest.self, from: bytes)
        }
        return nil
      } catch {
        return error as? DecodeFailure
      }
    }
  }
}
