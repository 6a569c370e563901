/// Whether preempting some sequences, and moving blocks then, would make a run: answered without doing
/// either.
///
/// More victims never make it worse, nor do moves. So what is met with some of them is looked for,
/// with fewer, only where it was met.
struct RunSearch: ~Copyable {
  let run: RunShape
  private let pool: KVPool
  private var survey: BlockSurvey
  private var release: Release
  /// Moves at most, beside what is promised.
  private let mostMoves: UInt32
  /// The blocks at which a run may begin, as far as that is known.
  private var places: ClosedRange<Int>

  /// O(blocks + table entries of the session). The run fits the pool.
  init(_ pool: KVPool, for run: RunShape, mostMoves: UInt32) {
    guard let places = run.places(in: pool.ids) else {
      preconditionFailure("looked for a run that is longer than the pool")
    }
    self.run = run
    self.pool = pool
    self.mostMoves = mostMoves
    self.places = places
    survey = BlockSurvey(pool, of: pool.run.slot)
    pool.run.work += UInt64(pool.blocks.capacity / 8)
    release = Release(pool.blocks, marking: survey.kinds)
  }

  /// Blocks that those who go give back.
  var freed: UInt32 { release.freed }

  private var available: UInt32 { pool.available + release.freed }

  private func budget(_ isMoving: Bool) -> Int {
    isMoving ? Int(min(mostMoves, available - min(pool.promisedHere, available))) : 0
  }

  mutating func add(_ slots: some Sequence<UInt32>) {
    for slot in slots {
      let table = pool.sequences.slots[Int(slot)].blocks
      release.add(table)
      pool.run.work += 1 + UInt64(table.count)
    }
  }

  mutating func remove(_ slots: some Sequence<UInt32>) {
    for slot in slots {
      let table = pool.sequences.slots[Int(slot)].blocks
      release.remove(table)
      pool.run.work += 1 + UInt64(table.count)
    }
  }

  /// O(blocks of the places and of a run), and O(1) where there are too few.
  mutating func isMet(moving isMoving: Bool) -> Bool {
    if run.count + Int(pool.promisedHere) > Int(available) { return false }
    let most = budget(isMoving)
    pool.run.work += UInt64(places.count + run.count) / 8
    var found: ClosedRange<Int>?
    survey.forEachWindow(for: run, in: places, available: Int(available)) { window in
      if window.moves <= most { found = (found?.lowerBound ?? window.first)...window.first }
    }
    if let found { places = found }
    return found != nil
  }

  /// Of these, in the order to preempt them, as many as it takes from their head, and of those nobody
  /// who can be left out, asked from the end; nil where all together do not suffice.
  ///
  /// Who is to be left out is asked of many at a time: O(log n) questions for each who is not. Each is
  /// a pass over the places, so many victims for a long run are cut off.
  ///
  /// - Throws: `.quota` where the command has looked at too much.
  mutating func victims(
    _ slots: [UInt32], moving isMoving: Bool
  ) throws(Refusal) -> [UInt32]? {
    if isMet(moving: isMoving) { return [] }
    if slots.isEmpty { return nil }
    add(slots)
    if !isMet(moving: isMoving) {
      remove(slots)
      return nil
    }
    var goes = Array(repeating: true, count: slots.count)
    try spare(slots.indices, of: slots, isMoving, &goes)
    return slots.indices.filter { goes[$0] }.map { slots[$0] }
  }

  private mutating func spare(
    _ part: Range<Int>, of slots: [UInt32], _ isMoving: Bool, _ goes: inout [Bool]
  ) throws(Refusal) {
    try pool.spend(0, 0)
    remove(slots[part])
    if isMet(moving: isMoving) {
      for i in part { goes[i] = false }
      return
    }
    add(slots[part])
    if part.count == 1 { return }
    let middle = part.lowerBound + part.count / 2
    try spare(middle..<part.upperBound, of: slots, isMoving, &goes)
    try spare(part.lowerBound..<middle, of: slots, isMoving, &goes)
  }

  /// The longest run that an allocation could have, and the fewest moves that make it.
  func longest(moving isMoving: Bool) -> BlockSurvey.Window {
    survey.longestPlace(atMost: budget(isMoving), available: Int(available))
  }
}
