internal import GRPCServer

/// Bytes of one client, sent as a whole and then, to another server, cut at places that the input names:
/// every stream is answered alike.
///
/// That holds where time has no say: no deadlines, and no end of the connection, which comes at another
/// place in the bytes when they come in other pieces. Nor is it so for a stream that one side resets: an
/// answer that waits for the end of the read is then dropped, and one that was sent is not.
func fuzzCuts(_ input: InputReader, isScript: Bool) {
  var input = input
  let cuts = (0..<8).map { _ in Int(input.word()) }
  let bytes =
    isScript
    ? FrameScript(input, isServer: false, paths: FuzzedServer.paths).slices.flatMap { $0 }
    : Array(input.rest)
  let whole = answers(to: [bytes])
  let cut = answers(to: pieces(of: bytes, cuts))
  if whole.hasGoAway || cut.hasGoAway || contains(bytes, "grpc-timeout") { return }
  let resets = resetStreams(in: bytes)
  for id in Set(whole.streams.keys).union(cut.streams.keys) where !resets.contains(id) {
    let (one, other) = (whole.streams[id]?.withoutPlea, cut.streams[id]?.withoutPlea)
    if isReset(one) || isReset(other) { continue }
    demand(
      one == other, "stream \(id) is answered \(describe(one)), and in pieces \(describe(other))")
  }
}

private func pieces(of bytes: [UInt8], _ cuts: [Int]) -> [[UInt8]] {
  let places = Set(cuts.map { $0 % max(1, bytes.count) }).subtracting([0]).sorted()
  var pieces: [[UInt8]] = []
  var start = 0
  for place in places + [bytes.count] {
    pieces.append(Array(bytes[start..<place]))
    start = place
  }
  return pieces
}

private func answers(to pieces: [[UInt8]]) -> ServerAnswers {
  var options = serverOptions(0)
  // What waits for the end of a read is not left unread by the client.
  options.maxUnreadResponseBytes = 1 << 30
  let fuzzed = FuzzedServer(options)
  let peer = fuzzed.connect(readsNothing: false)
  for piece in pieces where !peer.hasEnded {
    peer.send(piece)
    fuzzed.settle()
  }
  // A connection that ended is compared no more than one that was told to.
  let hasEnded = peer.hasEnded
  peer.close()
  fuzzed.finish()
  var answers = ServerAnswers(checking: peer.received)
  if hasEnded { answers.giveUp() }
  return answers
}

private func isReset(_ stream: ServerAnswers.Stream?) -> Bool { stream?.reset != nil }

extension ServerAnswers.Stream {
  /// RST_STREAM(NO_ERROR) behind an answer asks for no more of the request, so it depends on whether
  /// the request's end has come yet.
  fileprivate var withoutPlea: Self {
    var stream = self
    if hasEnded, reset == 0 { stream.reset = nil }
    return stream
  }
}

private func describe(_ stream: ServerAnswers.Stream?) -> String {
  stream.map {
    "with \($0.blocks) blocks, \($0.data.count) bytes, \($0.hasEnded ? "ended" : "open"), reset \($0.reset ?? 99)"
  } ?? "not at all"
}

/// Where a RST_STREAM may lie in the bytes, wherever frames begin: too many rather than too few.
private func resetStreams(in bytes: [UInt8]) -> Set<UInt32> {
  var found: Set<UInt32> = []
  if bytes.count < 13 { return found }
  for start in 0...(bytes.count - 13)
  where bytes[start] == 0 && bytes[start + 1] == 0 && bytes[start + 2] == 4
    && bytes[start + 3] == 3
  {
    found.insert(bytes[(start + 5)..<(start + 9)].reduce(0) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF)
  }
  return found
}

private func contains(_ bytes: [UInt8], _ word: String) -> Bool {
  let word = Array(word.utf8)
  if bytes.count < word.count { return false }
  return bytes.indices.dropLast(word.count - 1).contains {
    bytes[$0] == word[0] && bytes[$0..<($0 + word.count)].elementsEqual(word)
  }
}
