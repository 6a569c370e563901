import KVBlocks

extension Model {
  func promisedBlocks(_ key: Key) -> Int { state.promises[key]?.blocks ?? 0 }
}

/// What differs in the session's promises, those to sequences and those to names alone; nil when nothing
/// does.
func differentPromises(_ pool: KVPool, _ model: Model, _ session: SessionID) -> String? {
  let mine = model.state.promises.keys.filter { $0.session == session }
  for key in model.state.sequences.keys where key.session == session {
    let told = pool.describe(session: session, sequence: key.id)?.reservedBlocks
    if told.map({ Int($0) }) != model.promisedBlocks(key) {
      return "\(key) is promised \(told ?? 0)"
    }
  }
  let names = mine.filter { model.state.sequences[$0] == nil }.map(\.id).sorted()
  for (first, limit) in [(0, 20), (0, 1), (6, 2)] as [(SequenceID, Int)] {
    let told = pool.reservedNames(session: session, from: first, limit: limit)
    if told != Array(names.filter { $0 >= first }.prefix(limit)) {
      return "names with a promise from \(first): \(told) of \(names)"
    }
  }
  return nil
}
