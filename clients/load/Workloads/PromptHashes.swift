/// The hashes by which a pool knows content.
package struct PoolHashing: Equatable, Sendable {
  /// Of one: 16 or 32; 0: the pool caches nothing.
  package var bytes = 0
  /// Tokens behind a block that its hash is over, too; it has none before they are known.
  package var lookahead: UInt32 = 0

  package init(bytes: Int = 0, lookahead: UInt32 = 0) {
    self.bytes = bytes
    self.lookahead = lookahead
  }
}

/// The hashes of a prompt's full blocks, made from the ids of its content: equal where all tokens up to the end
/// of the block are equal. What no id names is like nothing else.
///
/// Blocks may have any size: an id stands for 512 tokens, and a block has a part of them or several. Two runs
/// have nothing in common, so each begins with a cache that is cold for it.
struct PromptHashes {
  let hashing: PoolHashing
  let blockSize: UInt32
  /// Of the run.
  let salt: UInt64

  /// Appends those of request `index`; false, and none, where they have more bytes than `most`: then the
  /// prompt is like no other. O(ids + blocks).
  func append(
    of index: Int, in plan: RequestPlan, to bytes: inout [UInt8], most: Int = .max
  ) -> Bool {
    let request = plan.requests[index]
    let ids = plan.hashIDs(of: request)
    if ids.isEmpty { return true }
    let idTokens = UInt64(RequestPlan.idTokens)
    let known = min(UInt64(ids.count) * idTokens, UInt64(request.inputTokens))
    let size = UInt64(blockSize)
    let hashable = UInt64(request.inputTokens - min(hashing.lookahead, request.inputTokens)) / size
    if Int(hashable) * hashing.bytes > most { return false }
    var state = State(salt: salt)
    for block in 0..<hashable {
      var token = block * size
      let end = token + size + UInt64(hashing.lookahead)
      while token < min(end, known) {
        let place = token / idTokens
        state.add(ids[ids.startIndex + Int(place)], token % idTokens)
        token = (place + 1) * idTokens
      }
      if end > known { state.add(UInt64(index), ~block) }
      state.write(hashing.bytes, to: &bytes)
    }
    return true
  }

  /// 128 bits that are fed by words: no defence against anybody, and nobody has a reason.
  private struct State {
    private var a: UInt64
    private var b: UInt64

    init(salt: UInt64) {
      a = RandomStream.mix(salt)
      b = RandomStream.mix(~salt)
    }

    mutating func add(_ id: UInt64, _ offset: UInt64) {
      a = RandomStream.mix(a ^ RandomStream.mix(id &+ 0x9E37_79B9_7F4A_7C15) &+ offset)
      b = RandomStream.mix(b &+ RandomStream.mix(id ^ 0xC2B2_AE3D_27D4_EB4F) ^ offset)
    }

    func write(_ count: Int, to bytes: inout [UInt8]) {
      for word in [a, b, ~a, ~b].prefix(count / 8) {
        withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) }
      }
    }
  }
}
