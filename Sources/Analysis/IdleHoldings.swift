internal import KVBlocks

/// Owners that hold blocks while none of their sequences runs, and since when: what leaks looks like from
/// outside. A client that died, one that forgot, and one that only pauses look the same at first; the
/// longer it lasts, and all the more if it grows, the less it is a pause.
///
/// Looked at as often as the pool is sampled, at most every ten seconds; at most 1,024 owners at once,
/// those that hold most.
struct IdleHoldings {
  struct Holding {
    var sinceMilliseconds: UInt64
    var blocksThen: UInt32
  }

  struct Key: Hashable {
    var session: SessionID
    var label: [UInt8]
  }

  static let intervalMilliseconds: UInt64 = 10_000
  static let mostOwners = 1_024

  private var holdings: [Key: Holding] = [:]
  private var next: UInt64 = 0

  func isDue(at milliseconds: UInt64) -> Bool { milliseconds >= next }

  /// `owners`: of the pool as it is, most blocks first.
  mutating func look(_ owners: [OwnerCost], at milliseconds: UInt64) {
    next = milliseconds + Self.intervalMilliseconds
    var still: [Key: Holding] = [:]
    for owner in owners where owner.holdsWithoutRunning && still.count < Self.mostOwners {
      let key = Key(session: owner.session, label: owner.label)
      still[key] =
        holdings[key] ?? Holding(sinceMilliseconds: milliseconds, blocksThen: owner.blocks)
    }
    holdings = still
  }

  /// nil where something runs, nothing is held, or nobody has looked since.
  func holding(_ owner: OwnerCost) -> Holding? {
    guard owner.holdsWithoutRunning else { return nil }
    return holdings[Key(session: owner.session, label: owner.label)]
  }
}
