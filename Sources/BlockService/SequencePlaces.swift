internal import Analysis
internal import KVBlocks

/// Where the blocks of sequences lie, as stretches of the map: JSON for those who watch.
///
/// Who asks for the same sequence gets the same text. It is made anew when the pool has changed and a while is
/// over, in O(blocks of the sequence, and a 64th of the places between the first and the last).
struct SequencePlaces {
  /// Texts that are kept, the last ones asked for, and their bytes in all but for one.
  static let most = 16
  static let mostBytes = 1 << 24

  private struct Known {
    // A pool that is loaded anew may be at the same revision.
    weak var pool: KVPool?
    var session: SessionID
    var sequence: SequenceID
    /// Which of the pool's arrivals it was: who frees an id may take it again.
    var arrival: UInt64
    var revision: Revision
    /// Milliseconds.
    var made: UInt64
    var text: String
  }

  /// The last one asked for is last.
  private var known: [Known] = []
  private(set) var made = 0

  /// - Parameters:
  ///   - milliseconds: How old the text may be.
  /// - Returns: nil = there is no such sequence.
  mutating func text(
    _ pool: KVPool, _ session: SessionID, _ sequence: SequenceID, at now: UInt64,
    milliseconds: UInt64
  ) -> String? {
    let place = known.firstIndex {
      $0.pool === pool && $0.session == session && $0.sequence == sequence
    }
    guard let arrival = pool.arrival(session: session, sequence: sequence)?.number else {
      if let place { known.remove(at: place) }
      return nil
    }
    if let place {
      let one = known.remove(at: place)
      let isYoung = one.arrival == arrival && now < one.made + milliseconds
      if one.revision == pool.revision || isYoung {
        known.append(one)
        return one.text
      }
    }
    guard let view = pool.describe(session: session, sequence: sequence) else { return nil }
    made += 1
    var json = JSONText()
    json.put("sequence", "\(sequence)")
    json.put("state", "\(view.state)")
    // Blocks of the host are none of the map's.
    let stretches = view.state == .swapped ? [] : TableStretches.of(view.blocks)
    json.put("stretches", stretches.flatMap { [$0.first, $0.count] })
    let text = json.finished
    known.append(
      Known(
        pool: pool, session: session, sequence: sequence, arrival: arrival,
        revision: pool.revision, made: now, text: text))
    forget()
    return text
  }

  private mutating func forget() {
    known.removeAll { $0.pool == nil }
    var bytes = known.reduce(0) { $0 + $1.text.utf8.count }
    while known.count > Self.most || (bytes > Self.mostBytes && known.count > 1) {
      bytes -= known.removeFirst().text.utf8.count
    }
  }
}
