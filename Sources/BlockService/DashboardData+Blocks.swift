internal import Analysis
internal import KVBlocks

/// The map, and the one block that somebody points at.
extension DashboardData {
  /// A byte of the form, 0, then a byte a block as `BlockLayoutAnalyzer.bytes` has them; or 1, then for
  /// each stretch of equal ones the byte and how many, in base 128 from the lowest up. Whichever is shorter.
  package func map(_ name: String) -> [UInt8]? {
    guard let hosted = find(name) else {
      maps[name] = nil
      return nil
    }
    let now = service.clockNow
    let blocks = hosted.pool.configuration.blocks
    if let known = maps[name], now < known.made + Self.mapMilliseconds(blocks) * 9 / 10 {
      return known.bytes
    }
    let bytes = BlockLayoutAnalyzer(hosted.pool, service.tracker(of: hosted)).bytes()
    let coded = MapCode.shortest(bytes)
    maps[name] = (now, coded)
    return coded
  }

  /// One block; nil = there is no such block.
  package func block(_ name: String, _ id: UInt32) -> String? {
    guard let hosted = find(name), id >= 1, id <= hosted.pool.configuration.blocks else {
      return nil
    }
    let pool = hosted.pool
    let view = pool.block(id)
    let owner = pool.owner(of: id)
    let tracker = service.tracker(of: hosted)
    var json = JSONText()
    json.put("block", id)
    json.put("revision", pool.revision)
    json.put("state", "\(view.state)")
    json.put("references", view.refCount)
    json.put("pins", view.pins)
    json.put("fill", view.refCount > 0 ? "\(pool.fill(of: id))" : "")
    json.put("generation", view.generation)
    json.put("hash", pool.content(id).map { Self.hex($0, pool.configuration.hashBytes) } ?? "")
    json.put("owner", "\(owner.kind)")
    json.put("session", "\(owner.session)")
    json.put("sequence", owner.kind == .sequence ? "\(owner.sequence)" : "")
    if owner.kind == .sequence,
      let sequence = pool.describe(session: owner.session, sequence: owner.sequence)
    {
      json.put("label", String(decoding: sequence.label, as: UTF8.self))
      json.put("index", sequence.blocks.firstIndex(of: id) ?? -1)
    }
    // Generations are the low 32 bits of revisions; nobody counts as far between two.
    let behind = UInt64(UInt32(truncatingIfNeeded: pool.revision) &- view.generation)
    let made = pool.revision - min(behind, pool.revision)
    if view.generation != 0, let time = tracker.history.time(of: made) {
      let now = service.clockNow
      json.put("age", Double(now - min(now, time)) / 1_000)
    }
    return json.finished
  }

  private static func hex(_ hash: BlockHash, _ byteCount: Int) -> String {
    withUnsafeBytes(of: hash.words) { bytes in
      bytes.prefix(byteCount).map { byte in
        let digits = String(byte, radix: 16)
        return digits.utf8.count == 1 ? "0\(digits)" : digits
      }.joined()
    }
  }
}
