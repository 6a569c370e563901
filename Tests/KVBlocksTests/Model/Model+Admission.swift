import KVBlocks

/// Promises once more: a number for each name.
extension Model {
  /// What an allocation can take.
  var available: Int { state.queue.count + pending.count }

  var promised: Int { state.promises.values.reduce(0, +) }

  func promised(exceptTo id: SequenceID) -> Int { promised - state.promises[key(id), default: 0] }

  mutating func endPromise(_ key: Key) {
    if state.promises.removeValue(forKey: key) != nil { changed = true }
  }

  mutating func reserve(_ request: Reserve, _ result: inout Seen.Result) throws(Refusal) {
    let id = request.sequence
    let wanted = Int(request.blocks)
    if request.releases {
      if wanted > 0 { throw Refusal(.invalid, field: .blocks, limit: 0, sequence: id) }
      endPromise(key(id))
    } else {
      if wanted == 0 { throw Refusal(.invalid, field: .blocks, limit: 1, sequence: id) }
      if state.sequences[key(id)]?.state == .running { throw Refusal(.wrongState, sequence: id) }
      let old = state.promises[key(id), default: 0]
      if wanted > old {
        let kept = state.running.isEmpty ? 0 : watermark
        let others = promised(exceptTo: id)
        if wanted + kept + others > available {
          throw Refusal(
            wanted > blocks ? .never : .later, needed: UInt32(wanted),
            available: UInt32(available), reserved: UInt32(others), watermark: UInt32(kept),
            sequence: id)
        }
      }
      if wanted > old {
        try checkThreshold(wanted, whole: wanted, evictable: 0, own: old, id)
      }
      state.promises[key(id)] = wanted
      if wanted != old { changed = true }
    }
    result.affected = UInt32(promised)
  }
}
