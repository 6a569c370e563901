import KVBlocks

/// Promises once more: a number for each name.
extension Model {
  /// What an allocation can take.
  var available: Int { line.count + pendingHere.count }

  struct Promise: Equatable {
    var blocks: Int
    var sizeClass: Int
  }

  /// Of the class looked at.
  var promised: Int {
    state.promises.values.reduce(0) { $0 + ($1.sizeClass == at ? $1.blocks : 0) }
  }

  var promisedInAll: Int { state.promises.values.reduce(0) { $0 + $1.blocks } }

  func promised(to id: SequenceID) -> Int {
    guard let promise = state.promises[key(id)], promise.sizeClass == at else { return 0 }
    return promise.blocks
  }

  func promised(exceptTo id: SequenceID) -> Int { promised - promised(to: id) }

  mutating func endPromise(_ key: Key) {
    if state.promises.removeValue(forKey: key) != nil { changed = true }
  }

  mutating func reserve(_ request: Reserve, _ result: inout Seen.Result) throws(Refusal) {
    let id = request.sequence
    let wanted = Int(request.blocks)
    try look(at: request)
    if request.releases {
      if wanted > 0 { throw Refusal(.invalid, field: .blocks, limit: 0, sequence: id) }
      endPromise(key(id))
    } else {
      if wanted == 0 { throw Refusal(.invalid, field: .blocks, limit: 1, sequence: id) }
      if state.sequences[key(id)]?.state == .running { throw Refusal(.wrongState, sequence: id) }
      let old = promised(to: id)
      if wanted > old {
        let kept = state.running.isEmpty ? 0 : watermark
        let others = promised(exceptTo: id)
        if wanted + kept + others > available {
          throw Refusal(
            wanted > capacity ? .never : .later, needed: UInt32(wanted),
            available: UInt32(available), reserved: UInt32(others), watermark: UInt32(kept),
            sequence: id)
        }
      }
      if wanted > old {
        try checkThreshold(wanted, whole: wanted, evictable: 0, own: old, id)
      }
      let before = state.promises[key(id)]
      state.promises[key(id)] = Promise(blocks: wanted, sizeClass: at)
      if state.promises[key(id)] != before { changed = true }
    }
    result.affected = UInt32(promisedInAll)
  }
}
