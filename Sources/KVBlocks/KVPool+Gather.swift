/// The moves that put one table into one run.
///
/// Of all places for the run, the one that takes the fewest moves: one for each entry that is not
/// in place, one for each block of others in the way, and one more for each cycle of entries that
/// are in each other's place. A block can move only once what was at its target has left, so a plan has
/// the moves that can be made now; the plan after them has the next ones.
extension KVPool {
  struct Gathering {
    var moves: [BlockMove] = []
    /// After these moves the table is one run.
    var isComplete = false
  }

  func gather(_ slot: UInt32, _ survey: borrowing BlockSurvey, budget: Int) -> Gathering {
    var search = GatherSearch(sequences.slots[Int(slot)].blocks.drop { $0 == 0 }, survey)
    defer { run.work += UInt64(search.looked) }
    guard let place = search.cheapestPlace(survey, canMove: budget > 0) else { return Gathering() }
    if place.moves == 0 { return Gathering(isComplete: true) }
    var moves = search.direct(to: place.first, survey)
    let away = search.away(from: place.first, survey)
    let run = place.first..<place.first + search.table.count
    let room = max(0, budget - moves.count)
    let holes = survey.holes(min(away.count, room), outside: run)
    for (source, hole) in zip(away, holes) { moves.append(BlockMove(source: source, target: hole)) }
    if moves.count > budget { moves.removeLast(moves.count - budget) }
    return Gathering(moves: moves, isComplete: moves.count == place.moves)
  }
}

/// A table and the blocks of a pool, as numbers. `first` is the block where a run would begin; entry
/// `i` belongs in block `first + i`.
private struct GatherSearch {
  let table: [Int]
  /// By block: 1 + the entry that names it.
  private var entries: [UInt32]
  private var isRepeated = false
  /// Finds entries that a walk has met; the walk's number.
  private var met: [UInt32]
  private var walk: UInt32 = 0
  /// Places and entries that the search for cycles has looked at. Past `most` a place with the same
  /// number of moves but for its cycles may be missed.
  private(set) var looked = 0
  private static let most = 1 << 22

  struct Place {
    var first: Int
    var moves: Int
    /// All of them can be made at once.
    var isDirect: Bool
  }

  init(_ blocks: some Sequence<BlockID>, _ survey: borrowing BlockSurvey) {
    table = blocks.map { Int($0) }
    entries = Array(repeating: 0, count: survey.ids.upperBound + 1)
    met = Array(repeating: 0, count: table.count)
    for (i, block) in table.enumerated() {
      if entries[block] != 0 { isRepeated = true }
      entries[block] = UInt32(i + 1)
    }
  }

  /// The place with the fewest moves, of those one where all can be made at once, of those the
  /// lowest; nil where there is none. O(blocks + entries), beside `most`.
  mutating func cheapestPlace(_ survey: borrowing BlockSurvey, canMove: Bool) -> Place? {
    let count = table.count
    let lowest = survey.ids.lowerBound
    if count == 0 { return Place(first: lowest, moves: 0, isDirect: true) }
    if isRepeated { return nil }
    let last = survey.ids.upperBound - count + 1
    // By place: entries that are there already, and of those that cannot move.
    var inPlace = [UInt32](repeating: 0, count: last + 1)
    var fixedInPlace = inPlace
    var fixed: UInt32 = 0
    for (i, block) in table.enumerated() {
      let first = block - i
      let isFixed = survey.isFixed(block)
      if isFixed { fixed += 1 }
      if first < lowest || first > last { continue }
      inPlace[first] += 1
      if isFixed { fixedInPlace[first] += 1 }
    }
    var best: Place?
    var withCycles: [(moves: Int, first: Int)] = []
    var inside = Inside()
    for block in lowest..<lowest + count - 1 { add(block, 1, to: &inside, survey) }
    for first in lowest...last {
      if first > lowest { add(first - 1, -1, to: &inside, survey) }
      add(first + count - 1, 1, to: &inside, survey)
      if inside.fixed > 0 || fixedInPlace[first] != fixed { continue }
      let there = Int(inPlace[first])
      let moves = count - there + inside.others
      if moves > 0 && !canMove { continue }
      if inside.own == there {
        let place = Place(first: first, moves: moves, isDirect: inside.others == 0)
        if place.precedes(best) { best = place }
      } else if moves < best?.moves ?? .max {
        withCycles.append((moves, first))
      }
    }
    withCycles.sort { $0 < $1 }
    for place in withCycles {
      let known = best?.moves ?? .max
      if place.moves >= known || looked >= Self.most && best != nil { break }
      let moves = place.moves + cycles(at: place.first, enough: known - place.moves).count
      if moves < known { best = Place(first: place.first, moves: moves, isDirect: false) }
    }
    return best
  }

  /// What is in a window, by whose it is.
  private struct Inside {
    var own = 0
    var others = 0
    /// Of those, what cannot move.
    var fixed = 0
  }

  private func add(
    _ block: Int, _ change: Int, to inside: inout Inside, _ survey: borrowing BlockSurvey
  ) {
    if entries[block] != 0 {
      inside.own += change
    } else if survey.isMovable(block) {
      inside.others += change
    } else if survey.isFixed(block) {
      inside.fixed += change
    }
  }

  /// Of each cycle of entries that are in each other's place, the block that comes first; no more
  /// than `enough`.
  private mutating func cycles(at first: Int, enough: Int) -> [Int] {
    walk += 1
    looked += table.count
    var found: [Int] = []
    for start in first..<first + table.count where entries[start] != 0 {
      if found.count >= enough { break }
      var block = start
      var length = 0
      while entries[block] != 0 {
        let entry = Int(entries[block]) - 1
        if met[entry] == walk { break }
        met[entry] = walk
        looked += 1
        length += 1
        block = first + entry
        if block == start {
          // An entry in its place is no cycle.
          if length > 1 { found.append(start) }
          break
        }
      }
    }
    return found
  }

  /// Entries whose place is available.
  func direct(to first: Int, _ survey: borrowing BlockSurvey) -> [BlockMove] {
    var moves: [BlockMove] = []
    for (i, block) in table.enumerated() where survey.isAvailable(first + i) {
      moves.append(BlockMove(source: BlockID(block), target: BlockID(first + i)))
    }
    return moves
  }

  /// Blocks that have to leave the place without another to go to: those of others, and one of each
  /// cycle.
  mutating func away(from first: Int, _ survey: borrowing BlockSurvey) -> [BlockID] {
    var away: [BlockID] = []
    for block in first..<first + table.count where entries[block] == 0 && survey.isMovable(block) {
      away.append(BlockID(block))
    }
    for block in cycles(at: first, enough: .max) { away.append(BlockID(block)) }
    return away
  }
}

extension GatherSearch.Place {
  fileprivate func precedes(_ other: Self?) -> Bool {
    guard let other else { return true }
    return moves < other.moves || moves == other.moves && isDirect && !other.isDirect
  }
}
