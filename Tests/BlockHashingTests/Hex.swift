import BlockHashing

/// The bytes of a hash as vLLM's vectors print them.
func hex(_ hash: ContentHash, _ byteCount: Int = 32) -> String {
  var bytes = [UInt8](repeating: 0, count: byteCount)
  bytes.withUnsafeMutableBytes { hash.write(to: $0.baseAddress!, byteCount) }
  return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

func bytes(_ hex: String) -> [UInt8] {
  let digits = Array(hex.utf8)
  return stride(from: 0, to: digits.count, by: 2).map {
    UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)!
  }
}
