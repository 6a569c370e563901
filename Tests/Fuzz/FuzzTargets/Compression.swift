internal import GRPCWire
internal import MessageCompression

/// A byte of choices: the encoding, the limit, and whether the rest is a message to be packed or one
/// that claims to be packed.
func fuzzCompression(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let choices = reader.byte()
  let encoding: MessageEncoding = choices & 1 == 0 ? .gzip : .deflate
  let limit = [0, 1, 100, 4_096, 70_000, 1 << 20, 1, 300][Int(choices >> 1 & 7)]
  let decompressor = MessageDecompressor()
  // Something before it: the state is reset, not made anew.
  if choices & 32 != 0 { _ = unpack(decompressor, reader.rest, encoding, 50) }
  if choices & 16 == 0 {
    checkUnpacking(decompressor, reader.rest, encoding, limit)
  } else {
    // Repeated, so that it can become longer than any limit.
    var message: [UInt8] = []
    for _ in 0...(choices >> 6 == 3 ? 255 : 0) { message += reader.rest }
    checkPacking(decompressor, message, encoding, limit)
  }
}

private func unpack(
  _ decompressor: MessageDecompressor, _ bytes: some Collection<UInt8>, _ encoding: MessageEncoding,
  _ limit: Int
) -> Result<[UInt8], DecompressionError> {
  withExactCopy(bytes) { bytes in
    do throws(DecompressionError) {
      return .success(Array(try decompressor.decompress(bytes, encoding, limitBytes: limit)))
    } catch {
      return .failure(error)
    }
  }
}

private func checkUnpacking(
  _ decompressor: MessageDecompressor, _ bytes: UnsafeRawBufferPointer, _ encoding: MessageEncoding,
  _ limit: Int
) {
  let result = unpack(decompressor, bytes, encoding, limit)
  // A limit decides between a message and `tooLarge`, and about nothing else.
  let unlimited = unpack(MessageDecompressor(), bytes, encoding, 1 << 22)
  switch result {
  case .success(let message):
    demand(message.count <= limit, "\(message.count) bytes unpacked, \(limit) allowed")
    demand(unlimited == .success(message), "another message without the limit")
    checkPacking(decompressor, message, encoding, limit)
  case .failure(.tooLarge):
    if case .success(let message) = unlimited {
      demand(message.count > limit, "\(message.count) bytes are too large for \(limit)")
    }
  case .failure(.corrupt): demand(result == unlimited, "corrupt with a limit only")
  }
}

private func checkPacking(
  _ decompressor: MessageDecompressor, _ message: [UInt8], _ encoding: MessageEncoding, _ limit: Int
) {
  let compressor = MessageCompressor()
  for _ in 0..<2 {
    let packed = withExactCopy(message) { compressor.compress($0, encoding).map { Array($0) } }
    guard let packed else { return }
    demand(packed.count < message.count, "packing made it longer")
    let again = unpack(decompressor, packed, encoding, limit)
    demand(
      message.count <= limit
        ? again == .success(message) : again == .failure(.tooLarge(limit: limit)),
      "\(message.count) bytes do not come back")
    // Neither a part of it nor more than it is the message.
    let short = unpack(decompressor, packed.dropLast(), encoding, 1 << 22)
    let long = unpack(decompressor, packed + [0], encoding, 1 << 22)
    for other in [short, long] {
      if case .success = other { fatalError("a message that is cut or continued is taken") }
    }
  }
}
