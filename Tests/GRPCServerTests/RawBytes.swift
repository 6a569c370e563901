import UVLoop

/// Sends bytes of any kind and waits for the end.
final class RawBytes: ByteStreamHandler {
  static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  let stream: ByteStream
  var received: [UInt8] = []
  var hasEnded = false

  init(_ stream: ByteStream) {
    self.stream = stream
    stream.handler = self
    stream.startReading()
  }

  func send(_ bytes: [UInt8]) {
    if !bytes.withUnsafeBytes(stream.write) { streamDidEnd(nil) }
  }

  /// The preface, empty SETTINGS and the answer to the server's.
  func greet() {
    send(RawBytes.preface + frame(4) + frame(4, flags: 1))
  }

  func frame(_ kind: UInt8, flags: UInt8 = 0, on stream: UInt32 = 0, _ payload: [UInt8] = [])
    -> [UInt8]
  {
    let count = payload.count
    return [UInt8(count >> 16), UInt8(count >> 8 & 255), UInt8(count & 255), kind, flags]
      + withUnsafeBytes(of: stream.bigEndian) { Array($0) } + payload
  }

  /// Type, flags and payload of each whole frame received.
  var frames: [(kind: UInt8, flags: UInt8, payload: [UInt8])] {
    var all: [(kind: UInt8, flags: UInt8, payload: [UInt8])] = []
    var rest = received[...]
    while rest.count >= 9 {
      let start = rest.startIndex
      let count = Int(rest[start]) << 16 | Int(rest[start + 1]) << 8 | Int(rest[start + 2])
      if rest.count < 9 + count { break }
      all.append((rest[start + 3], rest[start + 4], Array(rest[(start + 9)..<(start + 9 + count)])))
      rest = rest.dropFirst(9 + count)
    }
    return all
  }

  /// Last stream and error code of the GOAWAYs received.
  var goAways: [(last: UInt32, code: UInt32)] {
    frames.filter { $0.kind == 7 }.map {
      let number = { (bytes: ArraySlice<UInt8>) in bytes.reduce(0) { $0 << 8 | UInt32($1) } }
      return (number($0.payload[0..<4]), number($0.payload[4..<8]))
    }
  }
  var goAway: UInt32? { goAways.last?.code }

  var text: String { String(decoding: received, as: UTF8.self) }

  func streamDidRead(_ bytes: UnsafeRawBufferPointer) { received.append(contentsOf: bytes) }
  func streamDidEnd(_ error: UVError?) {
    hasEnded = true
    stream.close()
  }
  func streamDidDrain() {}
}
