/// Requests as a trace tells them: when they come, how long they and their answers are, and what their
/// prompts consist of, so far as that is known.
package struct ReplayTrace: Sendable {
  package struct Request: BitwiseCopyable, Sendable {
    /// Microseconds from the beginning of the trace; never less than those of the request before.
    package var arrival: UInt64
    /// Tokens, at least 1.
    package var input: UInt32
    package var output: UInt32
    /// Its part of `contents`.
    package var firstContent: UInt32
    package var contents: UInt32

    package init(
      arrival: UInt64, input: UInt32, output: UInt32, firstContent: UInt32 = 0,
      contents: UInt32 = 0
    ) {
      self.arrival = arrival
      self.input = input
      self.output = output
      self.firstContent = firstContent
      self.contents = contents
    }
  }

  package var requests: [Request]
  /// Of each request, what its prompt consists of: equal ids are equal stretches of `contentTokens`
  /// tokens. Tokens behind the last one are like no others.
  package var contents: [UInt64]
  /// Tokens of a stretch.
  package var contentTokens: UInt32

  package init(requests: [Request], contents: [UInt64], contentTokens: UInt32) {
    precondition(contentTokens > 0, "content of no tokens")
    self.requests = requests
    self.contents = contents
    self.contentTokens = contentTokens
  }

  /// Tokens of the longest request, prompt and answer. O(requests).
  package var longest: UInt64 {
    requests.reduce(0) { max($0, UInt64($1.input) + UInt64($1.output)) }
  }

  /// The hash of each full block of a request's first `tokens` tokens, 16 bytes each: over the content
  /// of the block and of all before it. A block may have a part of a stretch, or several.
  ///
  /// - Parameter inWholeStretches: The last stretch counts to its end, though the prompt ends before.
  func hashes(
    of index: Int, tokens: UInt64, blockSize: UInt32, from firstBlock: UInt64 = 0,
    inWholeStretches: Bool = false, state: inout ContentHash, into list: inout [UInt64]
  ) {
    let request = requests[index]
    var known = UInt64(request.contents) * UInt64(contentTokens)
    if !inWholeStretches { known = min(known, UInt64(request.input)) }
    let blocks = tokens / UInt64(blockSize)
    var block = firstBlock
    while block < blocks {
      var token = block * UInt64(blockSize)
      let end = token + UInt64(blockSize)
      while token < min(end, known) {
        let stretch = token / UInt64(contentTokens)
        let offset = token % UInt64(contentTokens)
        state.add(contents[Int(request.firstContent) + Int(stretch)], offset)
        token += UInt64(contentTokens) - offset
      }
      // Like no others.
      if end > known { state.add(UInt64(index), ~block) }
      list.append(state.a)
      list.append(state.b)
      block += 1
    }
  }
}

/// A hash of 128 bits that is fed by words: no defence against anybody, and nobody has a reason.
struct ContentHash: BitwiseCopyable {
  private(set) var a: UInt64 = 0x6A09_E667_F3BC_C908
  private(set) var b: UInt64 = 0xBB67_AE85_84CA_A73B

  mutating func add(_ content: UInt64, _ offset: UInt64) {
    a = Self.mixed(a ^ Self.mixed(content &+ 0x9E37_79B9_7F4A_7C15) &+ offset)
    b = Self.mixed(b &+ Self.mixed(content ^ 0xC2B2_AE3D_27D4_EB4F) ^ offset)
  }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
