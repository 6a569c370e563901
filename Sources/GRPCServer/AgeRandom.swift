/// Spreads the ends of connections that began together.
struct AgeRandom {
  private var state: UInt64

  /// - Parameter seed: Where to begin; nil = anywhere.
  init(seed: UInt64?) { state = seed ?? UInt64.random(in: .min ... .max) }

  /// `time + age`, up to a tenth of `age` earlier or later; `.max` for what never ends.
  mutating func end(from time: UInt64, after age: UInt64) -> UInt64 {
    if age == ServerOptions.never { return .max }
    // SplitMix64.
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    mixed ^= mixed >> 31
    let tenth = age / 10
    let jitter = tenth == 0 ? 0 : mixed % (2 * tenth + 1)
    let (end, overflow) = time.addingReportingOverflow(age - tenth + jitter)
    return overflow ? .max : end
  }
}
