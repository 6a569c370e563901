import KVBlocks

extension Walk {
  /// Turns most of what comes with hashes into what comes with token ids. The ids go on as one of a
  /// few documents does, so that sequences meet.
  mutating func feedTokens(_ command: inout TestCommand, _ model: Model) {
    for i in command.operations.indices where !one(in: 5) {
      command.operations[i].kind = fed(command.operations[i].kind, model, command.session)
    }
  }

  private mutating func fed(
    _ kind: TestOperation.Kind, _ model: Model, _ session: SessionID
  ) -> TestOperation.Kind {
    func known(_ id: SequenceID) -> [UInt32?] {
      model.state.sequences[.init(session: session, id: id)]?.content ?? []
    }
    switch kind {
    case .add(let new): return .add(fed(new))
    case .admit(var admit):
      admit.add = admit.add.map { fed($0) }
      return .admit(admit)
    case .extend(let extend, let hashes, _):
      let ids = tokens(behind: known(extend.sequence), Int(extend.appendTokens))
      return .extend(extend, hashes: ids.isEmpty || one(in: 40) ? hashes : [], ids: ids)
    case .append(let id, let count, let hashes, _):
      let ids = tokens(behind: known(id), Int(count))
      return .append(id, count, hashes: ids.isEmpty || one(in: 40) ? hashes : [], ids: ids)
    case .decode(var decode):
      for (i, id) in decode.ids.enumerated() {
        let count = i < decode.append.count ? Int(decode.append[i]) : 1
        decode.tokens += tokens(behind: known(id), count)
      }
      if one(in: 40) { decode.tokens.append(3) }
      if !decode.tokens.isEmpty && !one(in: 40) {
        decode.hashes = []
        decode.hashCounts = []
      }
      return .decode(decode)
    case .rewind(var rewind):
      if one(in: 2) { rewind.dropTokens = UInt32(below(120)) }
      return .rewind(rewind)
    case .pin(let hashes, let ttl, let unpins, _, let sizeClass):
      let ids = tokens(behind: [], hashes.count * Int(size) + below(Int(size)))
      return .pin(
        ids.isEmpty || one(in: 40) ? hashes : [], ttl: ttl, unpins: unpins, ids: ids,
        sizeClass: sizeClass)
    case .evictBlocks where one(in: 4): return .resetAfterPreempting
    default: return kind
    }
  }

  private mutating func fed(_ old: TestOperation.New) -> TestOperation.New {
    var new = old
    if new.tokens > 4_000 { return new }
    if one(in: 6) { new.keys = Array(repeating: UInt8(below(3)), count: 1 + below(3)) }
    new.tokenIDs = tokens(behind: [], Int(new.tokens))
    if !one(in: 60) { new.hashes = [] }
    if one(in: 60) { new.tokenIDs.append(1) }
    return new
  }

  /// Token `i` of document `d` is `1000 d + i`, as far as documents go.
  private mutating func tokens(behind known: [UInt32?], _ count: Int) -> [UInt32] {
    if count == 0 || count > 4_000 { return [] }
    var document = known.isEmpty ? 1 + below(3) : Int((known.last ?? nil) ?? 0) / 1_000
    var ids: [UInt32] = []
    for i in 0..<count {
      if one(in: 200) { document = 1 + below(5) }
      ids.append(UInt32(document * 1_000 + (known.count + i) % 1_000))
    }
    if one(in: 80) { ids[below(count)] = UInt32(1) << 31 + UInt32(below(4)) }
    return ids
  }
}
