import KVBlocks

/// What a walk draws for pools with a sliding window.
extension Walk {
  mutating func inFlight() -> UInt32 {
    switch below(30) {
    case 0: .max
    case 1...6: UInt32(below(Int(size) * 2 + 1))
    default: 0
    }
  }

  mutating func addInFlight(to decode: inout TestOperation.TestDecode) {
    switch below(8) {
    case 0: decode.inFlight = [inFlight()]
    case 1: decode.inFlight = decode.ids.map { _ in inFlight() }
    case 2 where one(in: 5): decode.inFlight = [1, 2, 3]
    default: break
    }
  }
}
