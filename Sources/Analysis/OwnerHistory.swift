package import KVBlocks

/// Who held most, over time: at each look the eight owners with most blocks, for two hours to ten seconds,
/// for a day to the minute.
///
/// An owner is a session and a label. Not more than 2,160 looks are kept, some 400 KB for a pool, and a label
/// of 256 bytes at most for each owner that is among them: 5 MB, should every look find eight new ones.
package struct OwnerHistory {
  package static let mostAtOnce = 8
  package static let mostTold = 32

  /// Kept once for all looks in a row that saw it.
  private final class Owner {
    let session: SessionID
    let label: [UInt8]
    init(_ session: SessionID, _ label: [UInt8]) {
      self.session = session
      self.label = label
    }
  }

  private struct Look {
    var milliseconds: UInt64
    var shares: [(owner: Owner, blocks: UInt32)]
  }

  /// The latest look of each stretch of time, the last so many.
  private struct Ring {
    /// Milliseconds of a stretch.
    let width: UInt64
    let capacity: Int
    /// From `next` on the oldest ones, once it is full.
    private var kept: [Look] = []
    private var next = 0

    init(width: UInt64, capacity: Int) {
      self.width = width
      self.capacity = capacity
    }

    mutating func add(_ look: Look) {
      let last = next == 0 ? kept.count - 1 : next - 1
      if last >= 0, look.milliseconds / width <= kept[last].milliseconds / width {
        kept[last] = look
      } else if kept.count < capacity {
        kept.append(look)
      } else {
        kept[next] = look
        next = next + 1 == capacity ? 0 : next + 1
      }
    }

    var last: Look? { kept.isEmpty ? nil : kept[next == 0 ? kept.count - 1 : next - 1] }
    var looks: [Look] { Array(kept[next...]) + kept[..<next] }
    var memory: Int {
      kept.capacity * MemoryLayout<Look>.stride
        + kept.reduce(0) { $0 + $1.shares.capacity * MemoryLayout<(Owner, UInt32)>.stride }
    }
  }

  private var fine = Ring(width: 10_000, capacity: 720)
  private var coarse = Ring(width: 60_000, capacity: 1_440)

  package init() {}

  /// Times do not go back. `owners`: of the pool as it is, most blocks first. O(1).
  mutating func add(_ owners: [OwnerCost], at milliseconds: UInt64) {
    let before = fine.last?.shares ?? []
    let shares = owners.prefix(Self.mostAtOnce).filter { $0.blocks > 0 }.map { owner in
      (
        owner: before.first {
          $0.owner.session == owner.session && $0.owner.label == owner.label
        }?.owner ?? Owner(owner.session, owner.label),
        blocks: owner.blocks
      )
    }
    let look = Look(milliseconds: milliseconds, shares: shares)
    fine.add(look)
    coarse.add(look)
  }

  /// The blocks of an owner.
  package struct Series: Equatable {
    package let session: SessionID
    package let label: [UInt8]
    /// One for each time; 0 = none, or it was not among those that held most.
    package fileprivate(set) var blocks: [UInt32]
  }

  private struct Key: Hashable {
    let session: SessionID
    let label: [UInt8]
  }

  /// Milliseconds of the looks from `since` on, oldest first, `most` at most, and those who held most at
  /// any of them, the most first, `owners` at most. Of too many looks every so-manieth, the latest among
  /// them. O(looks x 8).
  package func series(
    since: UInt64 = 0, most mostLooks: Int = .max, owners: Int = mostTold
  ) -> (times: [UInt64], owners: [Series]) {
    precondition(mostLooks > 0 && owners > 0, "asked for no looks, or no owners")
    var looks = fine.looks
    let first = looks.first?.milliseconds ?? .max
    looks = coarse.looks.prefix { $0.milliseconds < first } + looks
    looks = looks.filter { $0.milliseconds >= since }
    if looks.count > mostLooks {
      let step = (looks.count + mostLooks - 1) / mostLooks
      looks = stride(from: (looks.count - 1) % step, to: looks.count, by: step).map { looks[$0] }
    }
    // What is made for each owner ever seen is a number; only those that are told get a value a look.
    var most: [Key: UInt32] = [:]
    for look in looks {
      for share in look.shares {
        let key = Key(session: share.owner.session, label: share.owner.label)
        most[key] = max(most[key] ?? 0, share.blocks)
      }
    }
    let winners = Self.largest(owners, of: most)
    var places: [Key: Int] = [:]
    var all: [Series] = []
    for (i, key) in winners.enumerated() {
      places[key] = i
      all.append(
        Series(
          session: key.session, label: key.label,
          blocks: [UInt32](repeating: 0, count: looks.count)))
    }
    for (i, look) in looks.enumerated() {
      for share in look.shares {
        let key = Key(session: share.owner.session, label: share.owner.label)
        if let place = places[key] { all[place].blocks[i] = share.blocks }
      }
    }
    return (looks.map(\.milliseconds), all)
  }

  /// The first so many: most blocks first, then by session and label. O(owners) where few are better than
  /// those before.
  private static func largest(_ count: Int, of most: [Key: UInt32]) -> [Key] {
    var winners: [(key: Key, most: UInt32)] = []
    for (key, blocks) in most {
      func isBefore(_ other: (key: Key, most: UInt32)) -> Bool {
        if blocks != other.most { return blocks > other.most }
        if key.session != other.key.session { return key.session < other.key.session }
        return key.label.lexicographicallyPrecedes(other.key.label)
      }
      if winners.count == count, let last = winners.last, !isBefore(last) { continue }
      winners.insert((key, blocks), at: winners.firstIndex(where: isBefore) ?? winners.count)
      if winners.count > count { winners.removeLast() }
    }
    return winners.map(\.key)
  }

  package var memory: Int { fine.memory + coarse.memory }
}
