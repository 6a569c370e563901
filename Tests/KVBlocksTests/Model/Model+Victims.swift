import KVBlocks

/// Whom to preempt, once more: what a set would free is counted block by block, for every set anew.
extension Model {
  mutating func arrive(_ sequence: inout Sequence) {
    state.arrivals += 1
    sequence.arrival = state.arrivals
  }

  /// Blocks that become available if all of these give their tables back.
  func freed(_ keys: [Key]) -> Int {
    var gone: [BlockID: Int] = [:]
    for key in keys {
      for block in state.sequences[key]?.table ?? [] where block != 0 {
        gone[block, default: 0] += 1
      }
    }
    let free = gone.filter { state.references[Int($0.key)] == $0.value && pins($0.key) == 0 }
    // With the last blocks of rounded runs come their rests.
    let ended = state.rounded.filter { $0.asked.allSatisfy { free[$0] != nil } }
    return free.count + ended.reduce(0) { $0 + $1.rest.count }
  }

  /// Blocks that only this sequence refers to.
  private func own(_ key: Key) -> Int {
    (state.sequences[key]?.table ?? []).count {
      $0 != 0 && state.references[Int($0)] == 1 && pins($0) == 0
    }
  }

  /// Computed tokens beyond what the cache has of it.
  private func lost(_ key: Key) -> Int {
    guard let sequence = state.sequences[key] else { return 0 }
    return max(0, sequence.computed - (caches ? hits(sequence).count * size : 0))
  }

  func victims(
    of session: SessionID, _ need: Int, _ order: VictimOrder, keep: [SequenceID]
  ) -> [Key] {
    let short = need + promised - available
    if short <= 0 { return [] }
    var list = ranking(of: session, order, keep: keep)
    // The shortest head of the list that is enough, or all of it; then nobody superfluous.
    let enough = list.indices.first { freed(Array(list[...$0])) >= short }
    if let enough { list = Array(list[...enough]) }
    let goal = min(short, freed(list))
    for key in list.reversed() {
      let without = list.filter { $0 != key }
      if freed(without) >= goal { list = without }
    }
    return list
  }

  /// The step's choice; nil where it has none of its own. What the step scheduled of the victim is to
  /// go back.
  mutating func chosenVictim(_ returned: inout Int) -> Key? {
    if policy == .fcfs { return nil }
    let order = policy == .cost ? VictimOrder.cost : .priority
    guard let victim = ranking(of: session, order, keep: [], holdingNone: true).first else {
      return nil
    }
    chosenVictims[policy, default: 0] += 1
    returned += scheduledNow[victim] ?? 0
    return victim
  }

  mutating func giveBackTokens(_ tokens: Int) {
    guard tokens > 0, let left = budget else { return }
    budget = left + tokens
  }

  /// The session's running sequences that hold something, whom to preempt first.
  func ranking(
    of session: SessionID, _ order: VictimOrder, keep: [SequenceID], holdingNone: Bool = false
  ) -> [Key] {
    let running = state.running.reversed().filter {
      $0.session == session && !keep.contains($0.id)
        && (holdingNone || state.sequences[$0]?.table.contains { $0 != 0 } == true)
        && state.sequences[$0]?.sizeClass == at
    }
    var list = running
    switch order {
    case .latest: break
    case .priority:
      // The highest value last, and of those the last to come; then the other way round.
      list = running.sorted {
        guard let a = state.sequences[$0], let b = state.sequences[$1] else { return false }
        return (a.priority, a.arrival) < (b.priority, b.arrival)
      }
      .reversed()
    case .cost:
      var rest = running
      list = []
      while !rest.isEmpty {
        var best = 0
        for i in rest.indices.dropFirst() {
          let (a, b) = (own(rest[i]), own(rest[best]))
          if a > 0 && (b == 0 || lost(rest[i]) * b < lost(rest[best]) * a) { best = i }
        }
        list.append(rest.remove(at: best))
      }
    }
    return list
  }

  func advice(
    _ session: SessionID, _ need: Int, _ order: VictimOrder, keep: [SequenceID], limit: Int,
    sizeClass: UInt32
  ) -> (victims: [Victim], advice: VictimAdvice) {
    var model = self
    model.at = max(0, Int(sizeClass) - 1)
    return model.adviceHere(session, need, order, keep: keep, limit: limit)
  }

  private func adviceHere(
    _ session: SessionID, _ need: Int, _ order: VictimOrder, keep: [SequenceID], limit: Int
  ) -> (victims: [Victim], advice: VictimAdvice) {
    var keys = victims(of: session, need, order, keep: keep)
    if limit > 0 { keys = Array(keys.prefix(limit)) }
    let list = keys.indices.map { i in
      Victim(
        sequence: keys[i].id,
        freedBlocks: UInt32(freed(Array(keys[...i])) - freed(Array(keys[..<i]))),
        recomputeTokens: UInt32(lost(keys[i])),
        priority: state.sequences[keys[i]]?.priority ?? 0)
    }
    let after = available + freed(keys)
    return (
      list,
      VictimAdvice(availableBlocks: UInt32(after), isSufficient: after >= need + promised)
    )
  }
}

/// What the pool advises otherwise than the model; nil where they agree.
func differentAdvice(_ pool: KVPool, _ model: Model, _ walk: inout Walk) -> String? {
  let session = walk.pick(Walk.sessions)
  let need = UInt32(1 + walk.below(Int(walk.blocks)))
  let order = walk.pick([VictimOrder.cost, .latest, .priority])
  let keep = (0..<walk.below(4)).map { _ in walk.sequence() }
  let limit = UInt32(walk.one(in: 4) ? 1 + walk.below(3) : 0)
  let sizeClass = model.classes.isEmpty ? 0 : UInt32(walk.below(model.classes.count + 1))
  var victims = FlatList<Victim>()
  do throws(Refusal) {
    let advice = try pool.advise(session, need, order, keep, limit, &victims, sizeClass: sizeClass)
    let expected = model.advice(
      session, Int(need), order, keep: keep, limit: Int(limit), sizeClass: sizeClass)
    let seen = Array(victims.elements)
    if advice != expected.advice || seen != expected.victims {
      return "advice for \(need) by \(order) without \(keep): \(seen), \(advice) instead of "
        + "\(expected)"
    }
    return nil
  } catch {
    return "advice is refused: \(error)"
  }
}

extension KVPool {
  /// `adviseVictims` with a list of names.
  func advise(
    _ session: SessionID, _ need: UInt32, _ order: VictimOrder, _ keep: [SequenceID],
    _ limit: UInt32, _ victims: inout FlatList<Victim>, sizeClass: UInt32 = 0
  ) throws(Refusal) -> VictimAdvice {
    let names = UnsafeMutableBufferPointer<SequenceID>.allocate(capacity: keep.count)
    defer { names.deallocate() }
    _ = names.initialize(from: keep)
    return try adviseVictims(
      session: session, needed: need, order: order, keep: UnsafeBufferPointer(names), limit: limit,
      sizeClass: sizeClass, into: &victims)
  }
}
