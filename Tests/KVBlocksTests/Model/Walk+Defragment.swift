import KVBlocks

extension Walk {
  /// Moves of blocks that are held to blocks that are not, now and then others.
  mutating func defragment(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    var asked = model
    asked.session = session
    var sources = (1...blocks).filter { asked.isMovable($0) }
    var targets = (1...blocks).filter { asked.isAvailable($0) }
    sources.shuffle(using: &random)
    targets.shuffle(using: &random)
    if !model.classes.isEmpty && !one(in: 8) {
      // The same target for the same draw, but of the source's class.
      targets = sources.compactMap { source in
        let place = targets.firstIndex { model.classOf($0) == model.classOf(source) }
        return place.map { targets.remove(at: $0) }
      }
    }
    var moves = zip(sources, targets).prefix(1 + below(4)).map {
      BlockMove(source: $0, target: $1)
    }
    if one(in: 8) {
      moves.append(
        BlockMove(
          source: UInt32(below(Int(blocks) + 2)), target: UInt32(below(Int(blocks) + 2))))
    }
    return .applyDefragment(one(in: 12) ? model.revision + 1 : model.revision, moves)
  }
}
