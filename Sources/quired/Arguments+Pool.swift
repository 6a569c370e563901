internal import BlockService

extension Arguments.Pool {
  /// `NAME:KEY=VALUE,...`: blocks, or kv-bytes with a geometry; keys in any order, each once. What the
  /// numbers make together is for the registry to say.
  init(parsing text: String) throws(Arguments.Problem) {
    func fail(_ reason: String) -> Arguments.Problem { .init("--pool '\(text)': \(reason)") }
    guard let colon = text.firstIndex(of: ":") else {
      throw fail("must be NAME:blocks=N,block-size=B")
    }
    let name = String(text[..<colon])
    if name.isEmpty { throw fail("the name before ':' is empty") }
    var size = PoolSize(blocks: 0, blockSize: 0)
    var seen: [Substring] = []
    for part in text[text.index(after: colon)...].split(
      separator: ",", omittingEmptySubsequences: false)
    {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2 else { throw fail("'\(part)' is not KEY=VALUE") }
      if let reason = size.set(pair[0], pair[1]) { throw fail(reason) }
      if seen.contains(pair[0]) { throw fail("\(pair[0]) is given twice") }
      seen.append(pair[0])
    }
    if size.blocks == 0 && size.kvBytes == 0 { throw fail("blocks is missing") }
    if size.blockSize == 0 { size.blockSize = Arguments.defaultBlockSize }
    self.init(name: name, size)
  }
}

extension PoolSize {
  /// Returns what is wrong with the key or the value; nil when it was taken.
  fileprivate mutating func set(_ key: Substring, _ value: Substring) -> String? {
    switch key {
    case "kv-bytes":
      guard let bytes = Self.bytes(value) else {
        return "kv-bytes '\(value)' is not a number of bytes, such as 1000000, 512MiB or 60GiB"
      }
      kvBytes = bytes
    case "memory-utilization":
      guard let share = Double(value), share > 0, share <= 1 else {
        return "memory-utilization '\(value)' is not a number over 0 and at most 1"
      }
      memoryUtilization = share
    case "strategy":
      guard let place = Self.strategies.firstIndex(of: String(value)) else {
        return "strategy '\(value)' is none of \(Self.strategies.joined(separator: ", "))"
      }
      strategy = place
    case "prefix-caching":
      guard value == "on" || value == "off" else {
        return "prefix-caching '\(value)' is neither on nor off"
      }
      cachesPrefixes = value == "on"
    case "keep-tokens":
      guard value == "on" || value == "off" else {
        return "keep-tokens '\(value)' is neither on nor off"
      }
      keepsTokens = value == "on"
    case "blocks", "block-size", "host-blocks", "max-model-tokens", "layers", "kv-heads",
      "head-size", "dtype-bytes":
      guard let number = Self.number(value, most: UInt64(UInt32.max)) else {
        return "\(key) '\(value)' is not a whole number from 1 to 4294967295"
      }
      set(key, UInt32(number))
    default:
      return "unknown key '\(key)'; known are blocks, block-size, host-blocks, strategy, "
        + "prefix-caching, keep-tokens, max-model-tokens, kv-bytes, memory-utilization, layers, kv-heads, "
        + "head-size and dtype-bytes"
    }
    return nil
  }

  private mutating func set(_ key: Substring, _ number: UInt32) {
    switch key {
    case "blocks": blocks = number
    case "block-size": blockSize = number
    case "host-blocks": hostBlocks = number
    case "max-model-tokens": maxModelTokens = number
    case "layers": layers = number
    case "kv-heads": kvHeads = number
    case "head-size": headSize = number
    default: dtypeBytes = number
    }
  }

  private static let units: [(name: String, bytes: UInt64)] = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
    ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
  ]

  /// A whole number of bytes, or of a unit.
  private static func bytes(_ text: Substring) -> UInt64? {
    for unit in units where text.hasSuffix(unit.name) {
      guard let count = number(text.dropLast(unit.name.count), most: .max) else { return nil }
      let (bytes, overflows) = count.multipliedReportingOverflow(by: unit.bytes)
      return overflows ? nil : bytes
    }
    return number(text, most: .max)
  }

  private static func number(_ text: Substring, most: UInt64) -> UInt64? {
    guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = UInt64(text),
      number > 0, number <= most
    else { return nil }
    return number
  }
}
