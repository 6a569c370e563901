import KVBlocks

extension Walk {
  /// Swaps of sequences that run or are swapped out, now and then of others.
  mutating func swap(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    let isOut = one(in: 2)
    if one(in: 12) {
      let ids = (0..<below(4)).map { _ in sequence() }
      return isOut ? .swapOut(ids) : .swapIn(ids)
    }
    let wanted: SequenceState = isOut ? .running : .swapped
    var ids = model.state.sequences.filter {
      $0.key.session == session && $0.value.state == wanted
    }
    .keys.map(\.id).sorted()
    ids.shuffle(using: &random)
    ids = Array(ids.prefix(1 + below(3)))
    if one(in: 20), let first = ids.first { ids.append(first) }
    if one(in: 8), !ids.isEmpty {
      switch below(4) {
      case 0: return .append(ids[0], 1 + UInt32(below(Int(size))))
      case 1: return .fork(ids[0], [sequence()])
      case 2: return .rewind(Rewind(sequence: ids[0], uncomputeTokens: 1))
      default: return .free(ids)
      }
    }
    return isOut ? .swapOut(ids) : .swapIn(ids)
  }
}
