/// What is fuzzed: one function per target, from any bytes to nothing. This module owns what must
/// hold whatever the bytes are; it knows nothing of how they are found. A finding traps.
package struct FuzzTarget: Sendable {
  package let name: String
  /// Traps when something that must hold does not. Keeps nothing from one input to the next that
  /// another input could tell.
  package let run: @Sendable (UnsafeRawBufferPointer) -> Void

  package static let all = [
    FuzzTarget(name: "frames", run: fuzzFrames),
    FuzzTarget(name: "http2", run: fuzzSession),
    FuzzTarget(name: "server", run: fuzzServer),
    FuzzTarget(name: "client", run: fuzzClient),
    FuzzTarget(name: "requests", run: fuzzRequests),
    FuzzTarget(name: "timeout", run: fuzzTimeout),
    FuzzTarget(name: "metadata", run: fuzzMetadata),
    FuzzTarget(name: "compression", run: fuzzCompression),
    FuzzTarget(name: "tls", run: fuzzTLS),
  ]
}

/// Traps with `message` unless `condition` holds.
@inline(__always)
func demand(_ condition: Bool, _ message: @autoclosure () -> String) {
  if !condition { fatalError(message()) }
}

/// Takes an input apart from the front. At its end it goes on with zeros, so that every input means
/// something.
struct InputReader {
  private(set) var rest: UnsafeRawBufferPointer

  init(_ input: UnsafeRawBufferPointer) { rest = input }

  var isEmpty: Bool { rest.isEmpty }

  mutating func byte() -> UInt8 {
    guard let byte = rest.first else { return 0 }
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
    return byte
  }

  mutating func word() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }
  mutating func longWord() -> UInt32 { UInt32(word()) | UInt32(word()) << 16 }

  /// The next `count` bytes, or as many as there are.
  mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer {
    let taken = rest.prefix(count)
    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(taken.count))
    return UnsafeRawBufferPointer(rebasing: taken)
  }
}

/// A copy that ends where its memory ends, so that the address sanitizer sees a read beyond it.
func withExactCopy<Result>(
  _ bytes: some Collection<UInt8>, _ body: (UnsafeRawBufferPointer) -> Result
) -> Result {
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return body(UnsafeRawBufferPointer(copy))
}
