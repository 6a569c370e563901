import KVBlocks

extension Walk {
  /// Clocks go on, stand still, and now and then go back.
  mutating func addClock(to command: inout TestCommand, _ model: Model) {
    switch below(8) {
    case 0: command.now = UInt64(below(Int(min(model.state.clock, 1 << 40)) + 1))
    case 1...4: command.now = model.state.clock + UInt64(below(40))
    default: break
    }
  }

  /// Pins prefixes of the documents that sequences are made of.
  mutating func pin(_ model: Model, _ session: SessionID) -> TestOperation.Kind {
    if one(in: 30) { return .pin([]) }
    let mine = model.state.pins.filter { $0.session == session }
    if !mine.isEmpty && one(in: 3) { return .pin(pick(mine).asked, ttl: 7, unpins: true) }
    let document = UInt64(1 + below(4)) * 1_000
    let chain = (0..<UInt64(1 + below(8))).map { document + $0 + 1 }
    let ttl: UInt64 = one(in: 60) ? .max : one(in: 2) ? 0 : UInt64(1 + below(200))
    return .pin(chain, ttl: ttl, unpins: one(in: 8))
  }
}
