internal import CQuireProtos

/// What a request must satisfy before a handler sees it, compiled from the messages' descriptors.
///
/// For each message a flat list of the fields that need a look: those not served (refused when set,
/// never ignored), strings (text without NUL), enums (known values), and messages that hold such
/// fields. Served numbers need none and are not in the list. Built once: it takes longer than thousands of
/// requests do. The walk recurses as deep as the contract nests, which no sender can change.
///
/// Sendable: nothing in it changes once it is made, and it is never let go.
final class RequestContract: @unchecked Sendable {
  static let shared = RequestContract()

  /// One look at one field.
  private struct Check {
    enum Look: UInt8 {
      case unservedWord, unservedLongWord, unservedBytes, unservedMessage, unservedList
      case text, enumeration, enumerations, message, messages
    }
    var look: Look
    /// Offset of the value in the message, and of the count (lists) or the case (oneof members).
    var offset: Int
    var quantifierOffset: Int
    /// Field number of a oneof member; 0 for other fields.
    var caseNumber: UInt32
    /// Plan of the nested message.
    var plan: Int
    /// Bytes that a string may have.
    var mostBytes = 0
    var field: UnsafePointer<ProtobufCFieldDescriptor>
  }

  /// Where the unwinding of the walk writes down what it found.
  private struct Finding {
    var failure: (_ path: String) -> DecodeFailure = { .unserved(field: $0) }
    /// Innermost first.
    var path: [String] = []
  }

  /// Looks of all plans, and the range of each plan in them. Unsafe buffers, because the walk is on
  /// the path of every call and arrays of a class are checked at each touch.
  private let checks: UnsafeMutableBufferPointer<Check>
  private let plans: UnsafeMutableBufferPointer<Range<Int>>
  private let planOfKind: UnsafeMutableBufferPointer<Int>
  private let descriptors: [UnsafePointer<ProtobufCMessageDescriptor>]

  private init() {
    var builder = Builder()
    descriptors = MessageKind.allCases.map { $0.descriptor }
    let plans = MessageKind.allCases.map { $0.isRequest ? builder.plan(for: $0.descriptor) : -1 }
    planOfKind = Self.copy(plans)
    checks = Self.copy(builder.checks)
    self.plans = Self.copy(builder.plans)
  }

  private static func copy<Element>(_ values: [Element]) -> UnsafeMutableBufferPointer<Element> {
    let buffer = UnsafeMutableBufferPointer<Element>.allocate(capacity: values.count)
    _ = buffer.initialize(from: values)
    return buffer
  }

  func descriptor(of kind: MessageKind) -> UnsafePointer<ProtobufCMessageDescriptor> {
    descriptors[Int(kind.rawValue)]
  }

  func name(of kind: MessageKind) -> String { String(cString: descriptor(of: kind).pointee.name) }

  /// The first field, in the order of the contract, that may not be as it is.
  func firstFailure(in message: UnsafeRawPointer, of kind: MessageKind) -> DecodeFailure? {
    let plan = planOfKind[Int(kind.rawValue)]
    guard plan >= 0 else { return nil }
    var finding = Finding()
    if passes(message, plan: plan, &finding) { return nil }
    return finding.failure(finding.path.reversed().joined(separator: "."))
  }

  // MARK: The walk

  private func passes(_ message: UnsafeRawPointer, plan: Int, _ finding: inout Finding) -> Bool {
    for index in plans[plan] where !passes(message, checks[index], &finding) { return false }
    return true
  }

  private func passes(
    _ message: UnsafeRawPointer, _ check: Check, _ finding: inout Finding
  ) -> Bool {
    let value = message + check.offset
    if check.caseNumber != 0 {
      let oneofCase = (message + check.quantifierOffset).load(as: UInt32.self)
      if oneofCase != check.caseNumber { return true }
    }
    switch check.look {
    case .unservedWord:
      if check.caseNumber == 0 && value.load(as: UInt32.self) == 0 { return true }
      return refuse(check, &finding)
    case .unservedLongWord:
      if check.caseNumber == 0 && value.load(as: UInt64.self) == 0 { return true }
      return refuse(check, &finding)
    case .unservedBytes:
      if check.caseNumber == 0 && value.load(as: ProtobufCBinaryData.self).len == 0 { return true }
      return refuse(check, &finding)
    case .unservedMessage:
      if value.load(as: UnsafeRawPointer?.self) == nil { return true }
      return refuse(check, &finding)
    case .unservedList:
      if (message + check.quantifierOffset).load(as: Int.self) == 0 { return true }
      return refuse(check, &finding)
    case .text:
      let bytes = value.load(as: ProtobufCBinaryData.self)
      guard let problem = problem(of: bytes, check) else { return true }
      finding.failure = { .invalid(field: $0, problem: problem) }
      finding.path.append(name(check))
      return false
    case .enumeration:
      return passesEnumeration(value.load(as: Int32.self), check, &finding)
    case .enumerations:
      let count = (message + check.quantifierOffset).load(as: Int.self)
      let values = UnsafeBufferPointer(
        start: value.load(as: UnsafePointer<Int32>?.self), count: count)
      return values.allSatisfy { passesEnumeration($0, check, &finding) }
    case .message:
      guard let nested = value.load(as: UnsafeRawPointer?.self) else { return true }
      if passes(nested, plan: check.plan, &finding) { return true }
      finding.path.append(name(check))
      return false
    case .messages:
      return passesAll(message, check, &finding)
    }
  }

  private func problem(of bytes: ProtobufCBinaryData, _ check: Check) -> String? {
    if bytes.len > check.mostBytes { return "must be at most \(check.mostBytes) bytes" }
    return textProblem(BlockMessages.text(bytes))
  }

  private func passesAll(
    _ message: UnsafeRawPointer, _ check: Check, _ finding: inout Finding
  ) -> Bool {
    let count = (message + check.quantifierOffset).load(as: Int.self)
    guard count > 0,
      let list = (message + check.offset).load(as: UnsafePointer<UnsafeRawPointer>?.self)
    else { return true }
    for index in 0..<count where !passes(list[index], plan: check.plan, &finding) {
      finding.path.append("\(name(check))[\(index)]")
      return false
    }
    return true
  }

  private func passesEnumeration(_ value: Int32, _ check: Check, _ finding: inout Finding) -> Bool {
    if value == 0 { return true }
    let known = check.field.pointee.descriptor.assumingMemoryBound(
      to: ProtobufCEnumDescriptor.self)
    if protobuf_c_enum_descriptor_get_value(known, value) != nil { return true }
    finding.failure = { .invalid(field: $0, problem: "has the unknown value \(value)") }
    finding.path.append(name(check))
    return false
  }

  private func refuse(_ check: Check, _ finding: inout Finding) -> Bool {
    finding.path.append(name(check))
    return false
  }

  private func name(_ check: Check) -> String { String(cString: check.field.pointee.name) }

  // MARK: The plans

  private struct Builder {
    var checks: [Check] = []
    var plans: [Range<Int>] = []
    private var planOf: [UnsafePointer<ProtobufCMessageDescriptor>: Int] = [:]

    mutating func plan(for descriptor: UnsafePointer<ProtobufCMessageDescriptor>) -> Int {
      if let known = planOf[descriptor] { return known }
      let message = String(cString: descriptor.pointee.name)
      guard let served = ServedFields.byMessage[message] else {
        preconditionFailure("\(message) is served and its fields are not listed")
      }
      var found: [Check] = []
      var unseen = served
      for index in 0..<Int(descriptor.pointee.n_fields) {
        let field = descriptor.pointee.fields + index
        let isServed = unseen.remove(String(cString: field.pointee.name)) != nil
        if let check = check(field, of: message, isServed: isServed) { found.append(check) }
      }
      precondition(unseen.isEmpty, "\(message) has no field \(unseen)")
      plans.append(checks.count..<(checks.count + found.count))
      checks += found
      planOf[descriptor] = plans.count - 1
      return plans.count - 1
    }

    private mutating func check(
      _ field: UnsafePointer<ProtobufCFieldDescriptor>, of message: String, isServed: Bool
    ) -> Check? {
      let isMember = field.pointee.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0
      let isList = field.pointee.label == PROTOBUF_C_LABEL_REPEATED
      let isMessage = field.pointee.type == PROTOBUF_C_TYPE_MESSAGE
      var check = Check(
        look: .unservedWord, offset: Int(field.pointee.offset),
        quantifierOffset: Int(field.pointee.quantifier_offset),
        caseNumber: isMember ? field.pointee.id : 0, plan: 0, field: field)
      guard isServed else {
        check.look = isList ? .unservedList : unservedLook(field.pointee.type)
        return check
      }
      if isMessage {
        check.look = isList ? .messages : .message
        check.plan = plan(
          for: field.pointee.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self))
        return plans[check.plan].isEmpty ? nil : check
      }
      if field.pointee.type == PROTOBUF_C_TYPE_ENUM {
        check.look = isList ? .enumerations : .enumeration
        return check
      }
      guard
        let mostBytes = ServedFields.text["\(message).\(String(cString: field.pointee.name))"]
      else { return nil }
      precondition(!isList && field.pointee.type == PROTOBUF_C_TYPE_BYTES, "text is one string")
      check.mostBytes = mostBytes
      check.look = .text
      return check
    }

    private func unservedLook(_ type: ProtobufCType) -> Check.Look {
      switch type {
      case PROTOBUF_C_TYPE_MESSAGE: .unservedMessage
      case PROTOBUF_C_TYPE_BYTES: .unservedBytes
      case PROTOBUF_C_TYPE_INT64, PROTOBUF_C_TYPE_SINT64, PROTOBUF_C_TYPE_SFIXED64,
        PROTOBUF_C_TYPE_UINT64, PROTOBUF_C_TYPE_FIXED64, PROTOBUF_C_TYPE_DOUBLE:
        .unservedLongWord
      default: .unservedWord
      }
    }
  }
}

/// What keeps `bytes` from being a string of the contract; nil when nothing does.
///
/// - Complexity: O(bytes), no allocation.
package func textProblem(_ bytes: UnsafeBufferPointer<UInt8>) -> String? {
  var index = 0
  while index < bytes.count {
    let byte = bytes[index]
    if byte == 0 { return "holds a NUL character" }
    if byte < 0x80 {
      index += 1
      continue
    }
    let length = utf8Length(bytes, at: index)
    if length == 0 { return "is not UTF-8" }
    index += length
  }
  return nil
}

/// Length of the multi-byte character at `index` (Unicode 15, table 3-7); 0 when there is none.
private func utf8Length(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> Int {
  let lead = bytes[index]
  let length: Int
  var second: ClosedRange<UInt8> = 0x80...0xBF
  switch lead {
  case 0xC2...0xDF: length = 2
  case 0xE0: (length, second) = (3, 0xA0...0xBF)
  case 0xED: (length, second) = (3, 0x80...0x9F)
  case 0xE1...0xEF: length = 3
  case 0xF0: (length, second) = (4, 0x90...0xBF)
  case 0xF1...0xF3: length = 4
  case 0xF4: (length, second) = (4, 0x80...0x8F)
  default: return 0
  }
  guard index + length <= bytes.count, second.contains(bytes[index + 1]) else { return 0 }
  for next in (index + 2)..<max(index + length, index + 2)
  where !(0x80...0xBF).contains(bytes[next]) { return 0 }
  return length
}
