/// Fuzz bytes as one peer's side of an HTTP/2 conversation.
///
/// Mutating a frame's bytes mostly breaks its length, and all behind it is then noise. So an input is
/// a list of short orders instead, each of which becomes frames that are well-formed as far as the
/// order does not say otherwise; one order puts down bytes as they are.
struct FrameScript {
  /// What is sent in one go.
  private(set) var slices: [[UInt8]] = []
  private var slice: [UInt8] = []
  private var input: InputReader
  private let isServer: Bool

  /// A script that grows beyond this stops: repeats multiply.
  private static let mostBytes = 256 << 10
  private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

  private enum FrameType: UInt8 {
    case data, headers, priority, reset, settings, pushPromise, ping, goAway, windowUpdate
    case continuation
  }

  /// - Parameters:
  ///   - isServer: The peer is a server: no preface, responses instead of requests.
  ///   - paths: What requests ask for; the first two most often.
  init(_ input: InputReader, isServer: Bool, paths: [String]) {
    self.input = input
    self.isServer = isServer
    let usual = self.input.byte()
    if usual & 1 == 0 {
      if !isServer { slice += FrameScript.preface }
      frame(.settings, 0, 0, [])
    }
    if usual & 2 == 0 { frame(.settings, 1, 0, []) }
    var total = slice.count
    while !self.input.isEmpty, total < FrameScript.mostBytes {
      let before = slice.count
      order(paths)
      total += max(0, slice.count - before)
    }
    cut()
  }

  private mutating func cut() {
    if !slice.isEmpty { slices.append(slice) }
    slice = []
  }

  private mutating func order(_ paths: [String]) {
    let order = input.byte()
    switch order % 20 {
    case 0: slice += input.bytes(Int(input.byte()))
    case 1, 2:
      if isServer { response(ends: order & 64 != 0) } else { request(paths, ends: order & 64 != 0) }
    case 3, 4: message(ends: order & 64 != 0)
    case 5: frame(.data, input.byte() & 9, stream(), some())
    case 6: frame(.reset, 0, stream(), number(UInt32(input.byte() % 16)))
    case 7: frame(.windowUpdate, 0, stream(), number(UInt32(input.word()) << UInt32(order >> 5)))
    case 8: settings()
    case 9: frame(.ping, input.byte() & 1, 0, [UInt8](repeating: input.byte(), count: 8))
    case 10: frame(.goAway, 0, 0, number(stream()) + number(UInt32(input.byte())) + some())
    case 11: frame(.priority, 0, stream(), number(stream()) + [input.byte()])
    case 12: frame(.continuation, input.byte() & 4, stream(), some())
    case 13: frame(.headers, input.byte(), stream(), some())
    case 14: frame(.headers, 5, stream(), field("grpc-status", "\(input.byte() % 20)") + fields())
    case 15: repeats(order >> 5)
    case 16: longData()
    case 17: frame(.pushPromise, 4, stream(), number(stream()) + fields())
    case 18: anyFrame()
    default: cut()
    }
  }

  // MARK: Frames

  private mutating func frame(
    _ type: FrameType, _ flags: UInt8, _ stream: UInt32, _ payload: some Collection<UInt8>
  ) {
    frame(type.rawValue, flags, stream, payload)
  }

  private mutating func frame(
    _ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: some Collection<UInt8>
  ) {
    let count = payload.count
    slice += [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
    slice += number(stream)
    slice += payload
  }

  /// The first streams of either side, no stream, or the last there can be.
  private mutating func stream() -> UInt32 {
    let byte = UInt32(input.byte())
    if byte == 255 { return 0x7FFF_FFFF }
    return byte < 128 ? byte * 2 + 1 : (byte - 128) * 2
  }

  private mutating func request(_ paths: [String], ends: Bool) {
    let stream = stream()
    let which = Int(input.byte())
    var block = field(":method", which == 250 ? "GET" : "POST")
    block += field(":scheme", "http") + field(":authority", "a")
    block += field(":path", which < 200 ? paths[which % paths.count] : "/no.Such/Method")
    block += field("content-type", which == 251 ? "text/html" : "application/grpc")
    block += field("te", "trailers") + fields()
    frame(.headers, ends ? 5 : 4, stream, block)
  }

  private mutating func response(ends: Bool) {
    let stream = stream()
    let statuses = ["200", "200", "100", "404", "503", "415", "999", "0"]
    var block = field(":status", statuses[Int(input.byte() & 7)])
    block += field("content-type", "application/grpc") + fields()
    frame(.headers, ends ? 5 : 4, stream, block)
  }

  /// One gRPC message in one or two DATA frames.
  private mutating func message(ends: Bool) {
    let stream = stream()
    let flag = input.byte()
    var body = some()
    if flag == 252, let which = body.first {
      body = FrameScript.packed[Int(which) % FrameScript.packed.count]
    }
    let bytes = [flag < 250 ? 0 : flag == 252 ? 1 : flag & 3] + number(UInt32(body.count)) + body
    let first = min(bytes.count, Int(flag % 16))
    if first > 0 { frame(.data, 0, stream, bytes[..<first]) }
    frame(.data, ends ? 1 : 0, stream, bytes[first...])
  }

  /// A message of up to 16 KiB, out of two bytes.
  private mutating func longData() {
    let stream = stream()
    let body = [UInt8](repeating: 7, count: Int(input.word() % 16_000))
    frame(.data, 0, stream, [0] + number(UInt32(body.count)) + body)
  }

  private mutating func settings() {
    var payload: [UInt8] = []
    for _ in 0..<(input.byte() % 8) {
      let id = input.byte()
      payload += [0, id % 10] + number(UInt32(input.word()) << UInt32(id / 16))
    }
    frame(.settings, 0, 0, payload)
  }

  private mutating func anyFrame() {
    let type = input.byte()
    let flags = input.byte()
    frame(type, flags, stream(), some())
  }

  /// All that was put down since the last cut, up to 256 times more.
  private mutating func repeats(_ power: UInt8) {
    let pattern = slice
    let preface = FrameScript.preface
    let whole = pattern.starts(with: preface) ? Array(pattern.dropFirst(preface.count)) : pattern
    let count = min(1 << Int(power + 1), FrameScript.mostBytes / max(1, whole.count))
    for _ in 0..<count { slice += whole }
  }

  // MARK: Payloads

  private mutating func some() -> [UInt8] { Array(input.bytes(Int(input.byte() & 63))) }

  private func number(_ value: UInt32) -> [UInt8] {
    [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
  }

  /// A literal field that no table is asked for (RFC 7541, 6.2.2).
  private func field(_ name: String, _ value: String) -> [UInt8] {
    let name = Array(name.utf8.prefix(126))
    let value = Array(value.utf8.prefix(126))
    return [0, UInt8(name.count)] + name + [UInt8(value.count)] + value
  }

  /// Up to seven of the fields that mean something to one side or the other.
  private mutating func fields() -> [UInt8] {
    var block: [UInt8] = []
    for _ in 0..<(input.byte() & 7) {
      let which = Int(input.byte())
      if which < FrameScript.known.count {
        let (name, value) = FrameScript.known[which]
        block += field(name, value)
      } else if which < 128 {
        // Of any length: what a header list may hold is a limit.
        block += [0, 1, 0x78, 0x7F]
        let count = Int(input.word() % 8_192)
        block += [UInt8(count & 127 | 128), UInt8(count >> 7)]
        block += [UInt8](repeating: 0x61, count: count + 127)
      } else {
        let value = some()
        block += [0, 5] + Array("x-bin".utf8) + [UInt8(value.count)] + value
      }
    }
    return block
  }

  private static let known: [(String, String)] = [
    ("grpc-timeout", "1S"), ("grpc-timeout", "0n"), ("grpc-timeout", "99999999H"),
    ("grpc-timeout", "1x"), ("grpc-encoding", "identity"), ("grpc-encoding", "gzip"),
    ("grpc-encoding", "deflate"), ("grpc-encoding", "br"),
    ("grpc-accept-encoding", "identity,deflate,gzip"), ("grpc-status", "0"), ("grpc-status", "8"),
    ("grpc-status", "x"), ("grpc-message", "a%20b%e2%98%ba%zz%"), ("a-bin", "AAEC"),
    ("a-bin", "AAE=, AA"), ("a-bin", "*"), ("grpc-status-details-bin", "CAUSAWE"), ("te", "gzip"),
    ("content-length", "5"), ("content-length", "x"), ("connection", "close"), ("Upper", "a"),
    ("user-agent", "f/1"), ("empty", ""), ("grpc-previous-rpc-attempts", "2"),
    (":path", "/late"), ("host", "h"), ("content-type", "application/grpc+proto"),
    ("grpc-retry-pushback-ms", "-1"),
  ]
  /// "abc" four times, in gzip and in zlib's format, and 60,000 zeros in the latter.
  private static let packed: [[UInt8]] = [
    [
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 75, 76, 74, 78, 132, 33, 0, 52, 42, 110, 90, 12, 0,
      0, 0,
    ],
    [
      120, 156, 75, 76, 74, 78, 132, 33, 0, 29, 224, 4, 153,
    ],
    [
      120, 218, 237, 193, 49, 1, 0, 0, 0, 194, 160, 245, 79, 109, 13, 15, 160, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 190, 12,
      234, 96, 0, 1,
    ],
  ]
}
