internal import GRPCWire
internal import TestSupport

/// `limit`, two bytes of seed for the places where the stream is cut, then the stream.
///
/// The framer, fed in slices, must find what a parser finds that has all bytes before it.
func fuzzFrames(_ input: UnsafeRawBufferPointer) {
  var reader = InputReader(input)
  let limit = [0, 1, 16, 255, 4_096, 70_000, 200_000, 1 << 22][Int(reader.byte() & 7)]
  var random = SplitMix64(seed: UInt64(reader.word()))
  let stream = reader.rest
  let expected = NaiveFrames(stream, limit: limit)

  var framer = MessageFramer(limitBytes: limit)
  var found: [[UInt8]] = []
  var error: FramingError?
  var start = 0
  while start < stream.count, error == nil {
    let longest = random.next() % 4 == 0 ? stream.count : 9
    let count = min(stream.count - start, Int(random.next() % UInt64(longest + 1)))
    withExactCopy(stream[start..<start + count]) { slice in
      var rest = slice
      while error == nil {
        let before = rest.count
        switch framer.next(&rest) {
        case .message(let message):
          demand(message.count <= limit, "a message over the limit")
          found.append(Array(message))
          continue
        case .compressed: fatalError("a compressed message, where none is accepted")
        case .needsMore:
          demand(rest.isEmpty, "\(rest.count) of \(before) bytes left while more are needed")
        case .failed(let failure): error = failure
        }
        break
      }
    }
    demand(framer.capacity <= max(65_536, limit), "\(framer.capacity) bytes for \(limit)")
    start += count
  }
  demand(found == expected.messages, "\(found.count) messages, not \(expected.messages.count)")
  demand(error == expected.error, "ends with \(String(describing: error))")
  if error == nil {
    demand(framer.isBetweenMessages == expected.isBetweenMessages, "wrong about the end")
  }
  framer.reset()
  demand(framer.isBetweenMessages, "in a message after a reset")
  demand(framer.capacity <= 4_096, "a reset kept \(framer.capacity) bytes")
  // Whatever came before, the next stream is read from its beginning.
  withExactCopy([0, 0, 0, 0, 0] as [UInt8]) {
    var rest = $0
    guard case .message(let message) = framer.next(&rest), message.isEmpty, rest.isEmpty else {
      fatalError("an empty message is not found after a reset")
    }
  }
}

/// The messages of a stream that lies before us as a whole (gRPC over HTTP/2, "Length-Prefixed-Message").
private struct NaiveFrames {
  var messages: [[UInt8]] = []
  var error: FramingError?
  var isBetweenMessages = true

  init(_ stream: UnsafeRawBufferPointer, limit: Int) {
    var bytes = Array(stream)[...]
    while !bytes.isEmpty {
      if bytes.count < 5 {
        isBetweenMessages = false
        return
      }
      let prefix = Array(bytes.prefix(5))
      let length = prefix[1...].reduce(0) { $0 * 256 + Int($1) }
      if prefix[0] > 1 { error = .badFlag(prefix[0]) }
      if error == nil, length > limit { error = .tooLarge(length: length, limit: limit) }
      if error == nil, prefix[0] == 1 { error = .compressed }
      if error != nil { return }
      bytes = bytes.dropFirst(5)
      if bytes.count < length {
        isBetweenMessages = false
        return
      }
      messages.append(Array(bytes.prefix(length)))
      bytes = bytes.dropFirst(length)
    }
  }
}
