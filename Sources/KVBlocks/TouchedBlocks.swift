/// Which blocks of a pool may be another by now than when somebody looked: a bit a block, set before a
/// record changes.
///
/// What samples a pool needs no more: not what happened, and not in which order. A pool has one where
/// somebody follows it (`KVPool.followTouches`); a bit costs a few instructions, and allocations and frees
/// keep to their shortest way. What needs to know each change has the change log, which, of everything,
/// costs ten times as much; neither needs the other. One follower at a time: who finds that the pool has another
/// one reads the whole pool again.
///
/// A bit more than needed is set here and there, by dry runs and for neighbours in a queue.
package final class TouchedBlocks {
  /// Block `id` at bit `id & 63` of word `id >> 6`. The follower clears what it has read. Some bits name no
  /// block: that of 0, and those behind the last one.
  package let words: UnsafeMutablePointer<UInt64>
  package let wordCount: Int
  /// The pool is as created: every block may be another.
  package internal(set) var isEverything = false

  private var session: SessionID = 0
  /// The revision with which the commands of `session` began.
  private var since: Revision
  /// Other sessions that have changed something since `takeSessions`.
  private var sessions: Set<SessionID> = []

  /// `places`: ids that are ever saved, from 0.
  init(places: Int, at revision: Revision) {
    wordCount = (places + 63) / 64
    words = .allocate(capacity: wordCount)
    words.initialize(repeating: 0, count: wordCount)
    since = revision
  }

  deinit { words.deallocate() }

  /// The follower reads all of the pool.
  package func clear() {
    isEverything = false
    words.update(repeating: 0, count: wordCount)
  }

  /// A command of this session begins, at this revision.
  @inline(__always)
  func begin(_ session: SessionID, at revision: Revision) {
    if session != self.session { change(to: session, at: revision) }
  }

  @inline(never)
  private func change(to session: SessionID, at revision: Revision) {
    if revision != since { sessions.insert(self.session) }
    self.session = session
    since = revision
  }

  /// Whether a command of the session has changed something since `takeSessions`. `revision`: the pool's.
  package func hasChanged(_ session: SessionID, at revision: Revision) -> Bool {
    session == self.session && revision != since || sessions.contains(session)
  }

  /// The sessions whose commands changed something since this was last called.
  package func takeSessions(at revision: Revision) -> [SessionID] {
    if revision != since { sessions.insert(session) }
    since = revision
    defer { sessions.removeAll(keepingCapacity: true) }
    return Array(sessions)
  }

  /// What was noted before of sessions is noted here, too: blocks are read again, sessions cannot be.
  func takeOver(_ before: TouchedBlocks, at revision: Revision) {
    sessions = before.sessions
    if revision != before.since { sessions.insert(before.session) }
    session = before.session
  }
}

/// By its identity, one pool from its making or its last reset on. Who keeps it keeps no pool.
package final class PoolLife: Sendable {
  init() {}
}

extension KVPool {
  /// From here on blocks that may change are noted in what is returned; whoever followed before does not
  /// any more. Answers, digests and dumps are the same with and without. O(blocks / 64); O(blocks) in a pool
  /// that caches prefixes and that nobody followed.
  package func followTouches() -> TouchedBlocks {
    let touched = TouchedBlocks(places: blocks.places, at: revision)
    if let before = self.touched { touched.takeOver(before, at: revision) }
    set(touched)
    return touched
  }

  /// Nothing is noted any more.
  package func unfollowTouches() { set(nil) }

  private func set(_ touched: TouchedBlocks?) {
    self.touched = touched
    undo.touched = touched?.words
    blocks.setDetour()
    blocks.index?.keepsParents = touched != nil
    setFollowed()
  }

  /// This pool takes the place of another: what it stores is noted from the beginning, if that was
  /// followed. The follower finds another pool at its next look.
  func inheritTouches(from other: KVPool) {
    if other.touched != nil && touched == nil { _ = followTouches() }
  }

  func setFollowed() { isFollowed = isLogging || touched != nil }

  /// A command begins that somebody follows.
  @inline(never)
  func beginFollowed(_ session: SessionID) {
    if isLogging { log.begin(session) }
    if let touched {
      Unmanaged.passUnretained(touched)._withUnsafeGuaranteedRef {
        $0.begin(session, at: revision)
      }
    }
  }

  /// By block, the first word of the hash before that of its content; 0 = none, or none that is known:
  /// nobody followed when it was stored. nil where nothing was stored since.
  package var parents: UnsafePointer<UInt64>? { blocks.index?.parents.map { UnsafePointer($0) } }
}

extension UndoLog {
  /// The blocks of a list have changed.
  @inline(__always)
  func touch(_ first: UnsafePointer<BlockID>, _ count: Int, stride: Int = 1) {
    guard let touched else { return }
    var place = first
    for _ in 0..<count {
      touched[Int(place.pointee >> 6)] |= 1 &<< UInt64(place.pointee & 63)
      place += stride
    }
  }
}
