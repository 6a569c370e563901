import GRPCWire

/// One registered method.
final class Route {
  let path: String
  /// Counts the methods of the table, from 0.
  let index: Int
  /// Runs unary methods. Not optional: unwrapping a closure can make a new one, on the heap.
  let unary: ServiceTable.UnaryHandler
  let streaming: ServiceTable.StreamFactory?
  /// More than one request message may come.
  let isClientStreaming: Bool

  init(_ path: String, index: Int, _ method: ServiceTable.Method) {
    self.path = path
    self.index = index
    switch method {
    case .unary(let handler):
      unary = handler
      streaming = nil
      isClientStreaming = false
    case .streaming(let isClientStreaming, let factory):
      unary = { _, _, _ in preconditionFailure("a streaming method run as a unary one") }
      streaming = factory
      self.isClientStreaming = isClientStreaming
    }
  }
}

/// From the bytes of a `:path` to its method: an open-addressing table, built once, at most half
/// full. A lookup hashes the whole path and mostly compares one entry; it makes no String.
final class DispatchTable {
  private struct Entry {
    var hash: UInt64
    var path: UnsafeRawBufferPointer
    var route: Unmanaged<Route>
  }

  private let entries: UnsafeMutablePointer<Entry?>
  private let mask: Int
  private var last: Entry?

  /// By the index of their routes, without the first slash.
  let paths: [String]
  /// By the same index: whether it is no unary method.
  let streams: [Bool]

  init(_ table: ServiceTable) {
    paths = table.methods.map { String($0.key.dropFirst()) }
    streams = table.methods.map { if case .streaming = $0.value { true } else { false } }
    var capacity = 8
    while capacity < table.methods.count * 2 { capacity *= 2 }
    mask = capacity - 1
    entries = .allocate(capacity: capacity)
    entries.initialize(repeating: nil, count: capacity)
    for (place, (text, method)) in table.methods.enumerated() {
      let utf8 = Array(text.utf8)
      let path = UnsafeMutableRawBufferPointer.allocate(byteCount: utf8.count, alignment: 8)
      path.copyBytes(from: utf8)
      let bytes = UnsafeRawBufferPointer(path)
      let hash = DispatchTable.hash(bytes)
      var index = Int(truncatingIfNeeded: hash) & mask
      while entries[index] != nil { index = (index + 1) & mask }
      // Released by deinit.
      entries[index] = Entry(
        hash: hash, path: bytes, route: .passRetained(Route(text, index: place, method)))
    }
  }

  deinit {
    for index in 0...mask {
      guard let entry = entries[index] else { continue }
      entry.route.release()
      entry.path.deallocate()
    }
    entries.deallocate()
  }

  /// Most calls are for the method of the call before.
  @inline(__always)
  func find(_ path: UnsafeRawBufferPointer) -> Unmanaged<Route>? {
    if let last, last.path.count == path.count, equal(last.path, path) { return last.route }
    return search(path)
  }

  @inline(never)
  private func search(_ path: UnsafeRawBufferPointer) -> Unmanaged<Route>? {
    let hash = DispatchTable.hash(path)
    var index = Int(truncatingIfNeeded: hash) & mask
    while let entry = entries[index] {
      if entry.hash == hash, entry.path.count == path.count, equal(entry.path, path) {
        last = entry
        return entry.route
      }
      index = (index + 1) & mask
    }
    return nil
  }

  /// Of the same length, in words; the last one may overlap the one before.
  @inline(__always)
  private func equal(_ one: UnsafeRawBufferPointer, _ other: UnsafeRawBufferPointer) -> Bool {
    let count = one.count
    guard count >= 8, let a = one.baseAddress, let b = other.baseAddress else {
      return one.elementsEqual(other)
    }
    var index = 0
    while index < count &- 8 {
      if (a + index).loadUnaligned(as: UInt64.self) != (b + index).loadUnaligned(as: UInt64.self) {
        return false
      }
      index &+= 8
    }
    let last = count &- 8
    return (a + last).loadUnaligned(as: UInt64.self) == (b + last).loadUnaligned(as: UInt64.self)
  }

  /// Eight bytes at a time, multiplied and folded. The table never changes, so nobody gains by
  /// finding collisions.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var hash = UInt64(truncatingIfNeeded: bytes.count) &* 0x9E37_79B9_7F4A_7C15
    var index = 0
    while index + 8 <= bytes.count {
      let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      hash = (hash ^ word) &* 0xBF58_476D_1CE4_E5B9
      hash ^= hash >> 29
      index += 8
    }
    var word: UInt64 = 0
    while index < bytes.count {
      word = word << 8 | UInt64(bytes[index])
      index += 1
    }
    hash = (hash ^ word) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 32
  }
}
