internal import BlockMessages
internal import GRPCWire
package import Workloads

/// Writes `StepPlan`s as `StepRequest`s and reads `StepReply`s as `StepResult`s.
///
/// One for a connection: its buffer is reused, so that a step costs no allocation once it has grown.
package struct StepCodec: ~Copyable {
  private let pool: String
  private var packer = MessagePacker()

  package init(pool: String) { self.pool = pool }

  /// The request for `plan`: free, decode (preempting), add, admit (stopping at the first refusal,
  /// and not after a preemption). Borrowed: valid until the next call.
  ///
  /// - Parameter ignoresMissing: Sequences to free that the pool does not know are passed over. For
  ///   cleaning up after a failure only.
  package mutating func request(
    for plan: StepPlan, ignoresMissing: Bool = false
  ) -> UnsafeRawBufferPointer {
    // Packed from the last field to the first.
    packer.reset()
    packer.bool(5, true)  // no_admit_after_preemption
    for sequence in plan.admitted.reversed() {
      let mark = packer.mark
      let inner = packer.mark
      packer.uint64(1, sequence)
      packer.close(3, since: inner)
      packer.uint32(1, OnRefusalValue.stop.rawValue)
      packer.close(2, since: mark)
    }
    for addition in plan.added.reversed() {
      let mark = packer.mark
      let inner = packer.mark
      let content = packer.mark
      packer.uint32(3, addition.tokens)
      packer.close(2, since: content)
      packer.uint64(1, addition.sequence)
      packer.close(14, since: inner)
      packer.close(2, since: mark)
    }
    if !plan.decoded.isEmpty {
      let mark = packer.mark
      let inner = packer.mark
      plan.decoded.withUnsafeBufferPointer { packer.packedFixed64(1, $0) }
      packer.close(2, since: inner)
      packer.uint32(1, OnRefusalValue.preempt.rawValue)
      packer.close(2, since: mark)
    }
    if !plan.freed.isEmpty {
      let mark = packer.mark
      let inner = packer.mark
      packer.bool(2, ignoresMissing)
      plan.freed.withUnsafeBufferPointer { packer.packedFixed64(1, $0) }
      packer.close(10, since: inner)
      packer.close(2, since: mark)
    }
    let call = packer.mark
    packer.text(1, pool)
    packer.close(1, since: call)
    return packer.bytes
  }

  /// Reads the answer to `plan` into `result`. False when the bytes are no such message; what they
  /// say of the pool is for the model to judge.
  package static func read(
    _ reply: UnsafeRawBufferPointer, to plan: StepPlan, into result: inout StepResult
  ) -> Bool {
    result.removeAll()
    var reader = ProtoReader(reply)
    var index = 0
    let decode = plan.freed.isEmpty ? 0 : 1
    let additions = decode + (plan.decoded.isEmpty ? 0 : 1)
    let admissions = additions + plan.added.count
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (3, .bytes(let bytes)):
        guard let refused = refusal(bytes) else { return false }
        result.refused = refused
      case (4, .bytes(let bytes)):
        let isRead =
          if index < decode {
            readFree(bytes, &result)
          } else if index < additions {
            readDecode(bytes, &result)
          } else if index < admissions {
            readAddition(bytes, &result)
          } else {
            readAdmission(bytes, &result)
          }
        guard isRead else { return false }
        index += 1
      case (5, .varint(let value)): result.availableBlocks = UInt32(truncatingIfNeeded: value)
      default: break
      }
    }
    return !reader.isMalformed
  }

  // MARK: - Results, one function each

  private static func readFree(_ bytes: UnsafeRawBufferPointer, _ result: inout StepResult) -> Bool
  {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      guard number == 1, case .bytes(let bytes) = value else { continue }
      guard let refused = refusal(bytes) else { return false }
      result.freeRefused = refused
    }
    return !reader.isMalformed
  }

  private static func readDecode(_ bytes: UnsafeRawBufferPointer, _ result: inout StepResult)
    -> Bool
  {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      guard case .bytes(let bytes) = value else { continue }
      if number == 1 {
        guard let refused = refusal(bytes) else { return false }
        result.decodeRefused = refused
      } else if number == 2 {
        guard readDecodeResult(bytes, &result) else { return false }
      }
    }
    return !reader.isMalformed
  }

  private static func readDecodeResult(
    _ bytes: UnsafeRawBufferPointer, _ result: inout StepResult
  ) -> Bool {
    var reader = ProtoReader(bytes)
    while let (number, value) = reader.next() {
      switch number {
      case 1: guard append(value, to: &result.decodeBlockCounts) else { return false }
      case 2: guard append(value, to: &result.decodeBlocks) else { return false }
      case 3: guard append(value, to: &result.decodeRefusedIndexes) else { return false }
      case 4:
        guard case .bytes(let bytes) = value, let refused = refusal(bytes) else { return false }
        result.decodeFirstRefused = refused
      case 5: guard appendFixed(value, to: &result.preempted) else { return false }
      default: break
      }
    }
    return !reader.isMalformed
  }

  private static func readAddition(
    _ bytes: UnsafeRawBufferPointer, _ result: inout StepResult
  ) -> Bool {
    var reader = ProtoReader(bytes)
    var refused = Refused.no
    while let (number, value) = reader.next() {
      guard number == 1, case .bytes(let bytes) = value else { continue }
      guard let found = refusal(bytes) else { return false }
      refused = found
    }
    result.additions.append(refused)
    return !reader.isMalformed
  }

  private static func readAdmission(
    _ bytes: UnsafeRawBufferPointer, _ result: inout StepResult
  ) -> Bool {
    var reader = ProtoReader(bytes)
    var admission = StepResult.Admission()
    while let (number, value) = reader.next() {
      guard case .bytes(let bytes) = value else { continue }
      if number == 1 {
        guard let refused = refusal(bytes) else { return false }
        admission.refused = refused
      } else if number == 3 {
        let first = result.admissionBlocks.count
        var inner = ProtoReader(bytes)
        while let (number, value) = inner.next() {
          guard number == 5 else { continue }
          guard append(value, to: &result.admissionBlocks) else { return false }
        }
        guard !inner.isMalformed else { return false }
        admission.newBlocks = result.admissionBlocks.count - first
      }
    }
    result.admissions.append(admission)
    return !reader.isMalformed
  }

  /// A `Refusal`. Its text is read only for reasons that a run does not expect.
  private static func refusal(_ bytes: UnsafeRawBufferPointer) -> Refused? {
    var reader = ProtoReader(bytes)
    var refused = Refused.no
    var detail: UnsafeRawBufferPointer?
    while let (number, value) = reader.next() {
      switch (number, value) {
      case (1, .varint(let reason)): refused.reason = UInt32(truncatingIfNeeded: reason)
      case (3, .bytes(let text)): detail = text
      default: break
      }
    }
    if let detail, !refused.isLater, !refused.isNever, !refused.isNotAttempted {
      refused.detail = String(decoding: detail, as: UTF8.self)
    }
    return reader.isMalformed ? nil : refused
  }

  // MARK: - Lists, packed or not

  private static func append(_ value: ProtoReader.Value, to list: inout [UInt32]) -> Bool {
    switch value {
    case .varint(let number):
      list.append(UInt32(truncatingIfNeeded: number))
      return true
    case .bytes(let bytes):
      var number: UInt64 = 0
      var shift: UInt64 = 0
      for byte in bytes {
        guard shift < 64 else { return false }
        number |= UInt64(byte & 0x7F) << shift
        shift += 7
        if byte < 0x80 {
          list.append(UInt32(truncatingIfNeeded: number))
          number = 0
          shift = 0
        }
      }
      return shift == 0
    case .fixed32, .fixed64: return false
    }
  }

  private static func appendFixed(_ value: ProtoReader.Value, to list: inout [UInt64]) -> Bool {
    switch value {
    case .fixed64(let number):
      list.append(number)
      return true
    case .bytes(let bytes):
      guard bytes.count % 8 == 0 else { return false }
      for offset in stride(from: 0, to: bytes.count, by: 8) {
        list.append(
          UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
      }
      return true
    case .varint, .fixed32: return false
    }
  }
}
