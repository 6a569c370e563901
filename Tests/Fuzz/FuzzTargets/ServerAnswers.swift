/// What a client hears from a server, by frames.
struct ServerAnswers: Equatable {
  /// All that comes on one stream, whatever came in between on others.
  struct Stream: Equatable {
    var blocks = 0
    var data: [UInt8] = []
    var hasEnded = false
    var reset: UInt32?
  }

  private(set) var streams: [UInt32: Stream] = [:]
  private(set) var hasGoAway = false

  /// The connection ended: nothing follows from what was still said.
  mutating func giveUp() { hasGoAway = true }

  /// Frames come whole and make sense together, stream by stream (RFC 9113, 5.1).
  init(checking bytes: [UInt8]) {
    var rest = bytes[...]
    // A server that does not hear HTTP/2 may say so in HTTP/1.1's words.
    if rest.starts(with: "HTTP/1.1 ".utf8) {
      hasGoAway = true
      return
    }
    var isFirst = true
    func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
    while rest.count >= 9 {
      let head = Array(rest.prefix(9))
      let length = Int(number(head[0..<3]))
      let id = number(head[5...])
      // The peer may close before it has read all.
      guard rest.count >= 9 + length else { return }
      let payload = rest.dropFirst(9).prefix(length)
      rest = rest.dropFirst(9 + length)
      demand(head[3] <= 9, "a frame of type \(head[3])")
      demand(!isFirst || head[3] == 4, "the first frame is of type \(head[3])")
      isFirst = false
      if head[3] == 7 { hasGoAway = true }
      if id == 0 { continue }
      var stream = streams[id] ?? Stream()
      if head[3] == 3 { stream.reset = number(payload) }
      if head[3] <= 1 {
        demand(id % 2 == 1, "an answer on stream \(id)")
        demand(!stream.hasEnded, "frame type \(head[3]) on the ended stream \(id)")
        demand(head[3] == 1 || stream.blocks > 0, "data before headers on \(id)")
        if head[3] == 1 { stream.blocks += 1 } else { stream.data += payload }
        if head[4] & 1 != 0 { stream.hasEnded = true }
      }
      streams[id] = stream
    }
  }
}
