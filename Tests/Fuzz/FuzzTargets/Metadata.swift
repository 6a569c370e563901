internal import GRPCServer
internal import GRPCWire

/// The first byte says what the rest is: the text of a field, or bytes to be written as one.
func fuzzMetadata(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choice = reader.byte() % 7
  withExactCopy(reader.rest) { bytes in
    switch choice {
    case 0: checkBase64Text(bytes)
    case 1: checkBase64(Array(bytes))
    case 2: checkPercentText(bytes)
    case 3: checkPercent(String(decoding: bytes, as: UTF8.self))
    case 4: checkNames(bytes)
    case 5: walk(bytes, depth: 0)
    default: checkStandardServices(bytes)
    }
  }
}

// MARK: Base64

private let alphabet = Array(
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

private func checkBase64(_ bytes: [UInt8]) {
  let text = Base64.encode(bytes)
  demand(text.count == (bytes.count * 4 + 2) / 3, "\(bytes.count) bytes took \(text.count)")
  demand(text.allSatisfy { alphabet.contains($0) }, "base64 with a character of another alphabet")
  demand(Base64.decode(text) == bytes, "base64 does not come back")
  let padded = text + [UInt8](repeating: 61, count: (4 - text.count % 4) % 4)
  demand(Base64.decode(padded) == bytes, "padded base64 does not come back")
  demand(
    (text + [44, 32] + padded).withUnsafeBytes { Base64.decodeList($0) } == [bytes, bytes],
    "two values joined by a comma do not come back")
}

private func checkBase64Text(_ text: UnsafeRawBufferPointer) {
  let decoded = Base64.decode(text)
  demand(decoded == naiveDecode(Array(text)), "base64 is read as \(String(describing: decoded))")
  guard let values = Base64.decodeList(text) else {
    let parts = text.split(separator: 44, omittingEmptySubsequences: false)
    demand(
      parts.contains { naiveDecode(trimmed(Array($0))) == nil }, "a list of base64 is refused")
    return
  }
  let expected = text.split(separator: 44, omittingEmptySubsequences: false).map {
    naiveDecode(trimmed(Array($0)))
  }
  demand(values == expected, "a list of base64 is read wrongly")
}

private func trimmed(_ text: [UInt8]) -> [UInt8] {
  Array(text.drop { $0 == 32 }.reversed().drop { $0 == 32 }.reversed())
}

/// RFC 4648, section 4, by groups of four; the padding may be missing as a whole.
private func naiveDecode(_ text: [UInt8]) -> [UInt8]? {
  let end = text.firstIndex(of: 61) ?? text.count
  let digits = text[..<end]
  let padding = text[end...]
  guard padding.allSatisfy({ $0 == 61 }), digits.count % 4 != 1 else { return nil }
  if !padding.isEmpty, digits.count % 4 == 0 || digits.count % 4 + padding.count != 4 { return nil }
  var bits: [Bool] = []
  for digit in digits {
    guard let value = alphabet.firstIndex(of: digit) else { return nil }
    for bit in (0..<6).reversed() { bits.append(value >> bit & 1 == 1) }
  }
  return (0..<(bits.count / 8)).map { byte in
    bits[(byte * 8)..<(byte * 8 + 8)].reduce(0) { $0 << 1 | ($1 ? 1 : 0) }
  }
}

// MARK: Percent encoding

private func checkPercent(_ text: String) {
  let encoded = PercentEncoding.encode(text)
  demand(encoded.allSatisfy { (0x20...0x7E).contains($0) }, "an encoded byte is not printable")
  demand(encoded.withUnsafeBytes { PercentEncoding.decode($0) } == text, "text does not come back")
}

private func checkPercentText(_ bytes: UnsafeRawBufferPointer) {
  let decoded = PercentEncoding.decode(bytes)
  demand(decoded == naivePercentDecode(Array(bytes)), "percent text is read as \(decoded)")
  checkPercent(decoded)
}

/// gRPC's percent encoding, from the text cut at its `%`s: what stands behind one is a byte where it begins
/// with two hexadecimal digits, and itself where it does not.
private func naivePercentDecode(_ text: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  func digit(_ byte: UInt8) -> Int? {
    digits.firstIndex(of: (0x41...0x46).contains(byte) ? byte + 0x20 : byte)
  }
  let parts = text.split(separator: 0x25, omittingEmptySubsequences: false)
  var bytes = Array(parts[0])
  for part in parts.dropFirst() {
    let two = part.prefix(2).compactMap(digit)
    if two.count == 2 {
      bytes.append(UInt8(two[0] * 16 + two[1]))
      bytes += part.dropFirst(2)
    } else {
      bytes += [0x25] + part
    }
  }
  return String(decoding: bytes, as: UTF8.self)
}

// MARK: Names

private func checkNames(_ bytes: UnsafeRawBufferPointer) {
  let text = String(decoding: bytes, as: UTF8.self)
  let isCustom = MetadataName.isCustom(bytes)
  let letters = "abcdefghijklmnopqrstuvwxyz0123456789_-.".utf8
  let isReserved =
    text == "te" || text == "content-type"
    || text.hasPrefix("grpc-") && text != "grpc-previous-rpc-attempts"
  demand(
    isCustom == (!bytes.isEmpty && bytes.allSatisfy { letters.contains($0) } && !isReserved),
    "'\(text)' is \(isCustom ? "" : "no ")custom name")
  if isCustom {
    demand(MetadataName.isBinary(bytes) == (text.count > 4 && text.hasSuffix("-bin")), text)
  }
  if ContentType.isGRPC(bytes) {
    let lower = text.lowercased()
    demand(
      lower == "application/grpc" || lower.hasPrefix("application/grpc+")
        || lower.hasPrefix("application/grpc;"), "'\(text)' counts as gRPC")
  }
  if let code = StatusCode(grpcStatus: bytes) {
    demand(
      bytes.count <= 2
        && Int(text).map { $0 == code.rawValue || $0 > 16 && code == .unknown }
          == true,
      "'\(text)' is read as \(code)")
  }
}

// MARK: Messages without generated code

/// Fields lie in order inside their message, and none is longer than it.
private func walk(_ message: UnsafeRawBufferPointer, depth: Int) {
  var reader = ProtoReader(message)
  var total = 0
  while let (number, value) = reader.next() {
    demand(number > 0 && number < 1 << 29, "field number \(number)")
    total += 1
    if case .bytes(let bytes) = value {
      total += bytes.count
      if let base = bytes.baseAddress, let start = message.baseAddress {
        demand(base >= start && base + bytes.count <= start + message.count, "a field outside")
      }
      if depth < 8 { walk(bytes, depth: depth + 1) }
    }
  }
  demand(total <= message.count, "fields longer than their message")
  demand(reader.next() == nil, "a field after the end")
}

/// The bytes as a descriptor set, and then as questions to health and reflection over it.
private func checkStandardServices(_ bytes: UnsafeRawBufferPointer) {
  var reader = InputReader(bytes)
  let set = reader.bytes(Int(reader.word()))
  let table = ServiceTable()
  let health = HealthService(table)
  health.setServing("", true)
  _ = ReflectionService(table, descriptorSet: set)
  let question = reader.rest
  for path in [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
  ] {
    let (messages, status) = stream(table, path, [question])
    if status == nil || status == .ok {
      demand(messages.count == 1, "\(messages.count) answers to one question on \(path)")
    }
    for message in messages { message.withUnsafeBytes { demandWellFormed($0) } }
  }
  for method in ["Check", "List"] {
    let (status, reply) = unary(table, "/grpc.health.v1.Health/" + method, question)
    if status == .ok { reply.withUnsafeBytes { demandWellFormed($0) } }
  }
  health.end()
}

func demandWellFormed(_ message: UnsafeRawBufferPointer) {
  var reader = ProtoReader(message)
  while reader.next() != nil {}
  demand(!reader.isMalformed, "an answer that is no message")
}
