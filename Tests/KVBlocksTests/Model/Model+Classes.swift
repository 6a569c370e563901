import KVBlocks

/// Size classes once more: a block is of the class whose range of ids it is in, a sequence of the one
/// it was given. `at` is the class that is looked at; a pool without classes has one, number 0.
extension Model {
  struct Class {
    var size: Int
    var ids: ClosedRange<BlockID>
    var limit: Int
  }

  static func classes(of configuration: PoolConfiguration) -> [Class] {
    var next: BlockID = 1
    return configuration.sizeClasses.map { one in
      defer { next += one.blocks }
      return Class(
        size: Int(one.blockSize), ids: next...next + one.blocks - 1,
        limit: one.maxExpectedTokens == 0 ? .max : Int(one.maxExpectedTokens))
    }
  }

  var size: Int { classes.isEmpty ? onlySize : classes[at].size }

  func sizeOf(_ block: BlockID) -> Int {
    classes.isEmpty ? onlySize : classes[classOf(block)].size
  }

  /// Blocks that there are to be had, of the class looked at.
  var capacity: Int { classes.isEmpty ? blocks : classes[at].ids.count }

  var ids: ClosedRange<BlockID> { classes.isEmpty ? 1...BlockID(blocks) : classes[at].ids }

  func isHere(_ block: BlockID) -> Bool { classes.isEmpty || classes[at].ids.contains(block) }

  func classOf(_ block: BlockID) -> Int { classes.firstIndex { $0.ids.contains(block) } ?? 0 }

  /// The queue, of the class looked at.
  var line: [BlockID] { state.queue.filter { isHere($0) } }

  /// The queue as the pool lists it: one class after the other.
  var queueByClass: [BlockID] {
    classes.isEmpty
      ? state.queue : classes.flatMap { one in state.queue.filter { one.ids.contains($0) } }
  }

  var availableInAll: Int { state.queue.count + pending.count }

  /// Those that wait for their batch, of the class looked at.
  var pendingHere: [BlockID] { pending.filter { isHere($0) } }

  mutating func look(atNumber number: UInt32) throws(Refusal) {
    if Int(number) > classes.count {
      throw Refusal(.invalid, field: .sizeClass, limit: UInt64(classes.count))
    }
    at = max(0, Int(number) - 1)
  }

  mutating func look(at new: TestOperation.New) throws(Refusal) {
    if Int(new.sizeClass) > classes.count {
      throw Refusal(
        .invalid, field: .sizeClass, limit: UInt64(classes.count), sequence: new.id)
    }
    let expected = Int(max(new.expected, new.tokens))
    at =
      new.sizeClass > 0
      ? Int(new.sizeClass) - 1 : classes.firstIndex { expected <= $0.limit } ?? 0
  }

  mutating func look(at key: Key) {
    if let sequence = state.sequences[key] { at = sequence.sizeClass }
  }

  /// Of a promise: that of the sequence, where there is one; or else the one that it names, or has.
  mutating func look(at request: Reserve) throws(Refusal) {
    try look(atNumber: request.sizeClass)
    if classes.isEmpty { return }
    guard let sequence = state.sequences[key(request.sequence)] else {
      if request.sizeClass == 0, let promise = state.promises[key(request.sequence)] {
        at = promise.sizeClass
      }
      return
    }
    at = sequence.sizeClass
    if request.sizeClass > 0 && Int(request.sizeClass) != at + 1 {
      throw Refusal(
        .invalid, field: .sizeClass, limit: UInt64(classes.count), sequence: request.sequence,
        subject: UInt64(at + 1))
    }
  }

  func named(_ refusal: Refusal) -> Refusal {
    var named = refusal
    if !classes.isEmpty && [.later, .never, .noRun].contains(refusal.reason) {
      named.sizeClass = UInt8(at + 1)
    }
    return named
  }

  private func longestRun(
    in ids: ClosedRange<BlockID>, _ belongs: (BlockID) -> Bool
  ) -> Int {
    ids.split { !belongs($0) }.map(\.count).max() ?? 0
  }

  /// What a pool says of its classes.
  func different(_ layout: PoolLayout) -> String? {
    if layout.classes.count != classes.count { return "\(layout.classes.count) classes" }
    for (i, one) in classes.enumerated() {
      let told = layout.classes[i]
      let free = state.queue.filter { one.ids.contains($0) }
      let waiting = pending.count { one.ids.contains($0) }
      let promised = state.promises.filter { $0.value.sizeClass == i }.values.map(\.blocks)
      let longest = longestRun(in: one.ids) { state.queue.contains($0) || pending.contains($0) }
      let longestFree = longestRun(in: one.ids) {
        state.queue.contains($0) && content($0) == nil
      }
      let held = one.ids.filter { state.references[Int($0)] > 0 }
      var used: [BlockID: Int] = [:]
      for sequence in state.sequences.values where sequence.state == .running {
        for (place, block) in sequence.table.enumerated() where one.ids.contains(block) {
          let tokens = min(one.size, max(0, sequence.computed - place * one.size))
          used[block] = max(tokens, used[block] ?? 0)
        }
      }
      if told.firstBlock != one.ids.lowerBound
        || Int(told.free) != free.count(where: { content($0) == nil })
        || Int(told.cached) != free.count(where: { content($0) != nil })
        || Int(told.active) != held.count(where: { state.references[Int($0)] == 1 })
        || Int(told.shared) != held.count(where: { state.references[Int($0)] > 1 })
        || Int(told.pinned) != one.ids.count - free.count - waiting - held.count
        || Int(told.pending) != waiting
        || Int(told.largestAvailableRun) != longest || Int(told.largestFreeRun) != longestFree
        || Int(told.reserved) != promised.reduce(0, +)
        || Int(told.sequenceSlotsHeld) != used.count * one.size
        || Int(told.sequenceSlotsUsed) != used.values.reduce(0, +)
      {
        return "class \(i + 1): \(told)"
      }
    }
    return nil
  }
}
