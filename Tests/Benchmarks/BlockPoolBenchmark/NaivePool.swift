import KVBlocks

/// The pool that one writes first: an array as a stack of free ids, a dictionary of counts.
struct NaivePool {
  private var free: [BlockID]
  private var references: [BlockID: Int] = [:]

  init(capacity: UInt32) {
    free = (1...capacity).reversed()
  }

  mutating func allocate(_ count: Int) -> [BlockID] {
    var ids: [BlockID] = []
    for _ in 0..<count {
      guard let id = free.popLast() else { break }
      references[id] = 1
      ids.append(id)
    }
    return ids
  }

  mutating func free(_ ids: [BlockID]) {
    for id in ids {
      guard let count = references[id] else { continue }
      if count == 1 {
        references[id] = nil
        free.append(id)
      } else {
        references[id] = count - 1
      }
    }
  }
}
