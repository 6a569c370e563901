/// Raw blocks at certain places. A pool whose strategy needs runs allocates in no other way.
extension KVPool {
  func place(
    _ request: PlaceBlocks, _ result: inout OperationResult, _ outcome: Outcome
  ) throws(Refusal) {
    try useClass(number: request.sizeClass)
    let count = request.count
    guard count > 0 else { throw Refusal(.invalid, field: .count, limit: 1) }
    for id in request.preferred { try checkBlock(id, .preferredBlockIDs) }
    let takes = blocks.rounded(count)
    if takes > capacity {
      throw Refusal(.never, needed: takes, available: available, reserved: promisedHere)
    }
    try checkBlocks(UInt64(count), .count)
    if takes > unpromised {
      throw Refusal(.later, needed: takes, available: available, reserved: promisedHere)
    }
    try spend(UInt32(request.preferred.count / 8), 0)
    // Adjacent ones, and certain ones, may be among those that wait.
    if blocks.flushPending() > 0 { run.changed = true }
    let isRun = request.isContiguous || blocks.needsRuns
    if isRun { try checkRun(of: count) }
    let session = ensureSession()
    run.blocks += count
    let start = outcome.blocks.count
    let room = outcome.blocks.extend(by: Int(count))
    if isRun {
      let first = blocks.makeRun(
        of: count, preferred: request.preferred, .handOut, for: .raw(session))
      blocks.takeRun(first, count, for: .raw(session), generation: generation, into: room)
    } else {
      blocks.take(
        count, preferring: request.preferred, for: .raw(session), generation: generation,
        into: room)
    }
    sessions.save(session)
    sessions.slots[Int(session)].rawBlocks += count
    result.newBlocks = Slice32(start: UInt32(start), count: count)
    run.changed = true
  }

  /// There are enough blocks; are so many of them adjacent?
  func checkRun(
    of count: UInt32, beside reserved: UInt32? = nil, watermark: UInt32 = 0, _ id: SequenceID = 0
  ) throws(Refusal) {
    if blocks.hasRun(of: count) { return }
    throw Refusal(
      .noRun, needed: blocks.rounded(count), available: available,
      evictable: cachedBlocks, reserved: reserved ?? promisedHere, watermark: watermark,
      limit: UInt64(blocks.findLongestPlaceableRun()), sequence: id)
  }
}
