package import KVBlocks

/// What happened to the blocks of a pool lately: who took, hit, shared, gave back, cached or evicted
/// which of them, at which revision and when.
///
/// Two rings of fixed size, one of operations and one of the ids that they name; the newest push the
/// oldest out. The memory, 5 MiB with the default sizes, is used as it fills. To note an entry costs its
/// ids and 56 bytes; to explain a block goes through both rings once, a fraction of a millisecond.
package final class BlockIncidents {
  package struct Incident: Equatable {
    package let revision: Revision
    /// As `note` was told.
    package let milliseconds: UInt64
    package let kind: ChangeLog.Kind
    package let cause: ChangeLog.Cause
    package let owner: BlockOwner
    /// Of a copy or a move (`copied`, `moveOrdered`, `moved`) the block was the target.
    package let isTarget: Bool
  }

  /// An entry of a change log.
  private struct Note: BitwiseCopyable {
    var revision: Revision
    var milliseconds: UInt64
    var owner: BlockOwner
    /// Ids noted before its own, since the beginning.
    var first: UInt64
    var count: UInt32
    var kind: ChangeLog.Kind
    var cause: ChangeLog.Cause
    var tier: Tier
  }

  private let notes: UnsafeMutablePointer<Note>
  private let ids: UnsafeMutablePointer<BlockID>
  private let noteMask: UInt64
  private let idMask: UInt64
  /// Noted in all, since the beginning.
  private var noteCount: UInt64 = 0
  private var idCount: UInt64 = 0

  /// - Parameters:
  ///   - notes: Entries kept at most; a power of two.
  ///   - ids: Ids kept at most, of all entries together; a power of two.
  package init(notes: Int = 1 << 16, ids: Int = 1 << 18) {
    precondition(notes > 0 && notes & (notes - 1) == 0, "a ring has 2^n places")
    precondition(ids > 0 && ids & (ids - 1) == 0, "a ring has 2^n places")
    self.notes = .allocate(capacity: notes)
    self.ids = .allocate(capacity: ids)
    noteMask = UInt64(notes - 1)
    idMask = UInt64(ids - 1)
  }

  deinit {
    notes.deallocate()
    ids.deallocate()
  }

  /// All that a command did. O(blocks named).
  package func note(_ log: ChangeLog, at revision: Revision, _ milliseconds: UInt64) {
    for entry in log.entries.elements {
      if case .sequenceForked = entry.kind { continue }
      notes[Int(noteCount & noteMask)] = Note(
        revision: revision, milliseconds: milliseconds, owner: entry.owner, first: idCount,
        count: entry.count, kind: entry.kind, cause: entry.cause, tier: entry.tier)
      noteCount += 1
      for id in log.blocks(of: entry) {
        ids[Int(idCount & idMask)] = id
        idCount += 1
      }
    }
  }

  /// Another pool took the place of the one that was followed.
  package func forget() {
    noteCount = 0
    idCount = 0
  }

  /// Of one block, oldest first; at most the `limit` newest. Clearing the whole pool happens to each of
  /// its blocks. O(size of the rings).
  package func incidents(
    of block: BlockID, on tier: Tier = .device, limit: Int = .max
  ) -> [Incident] {
    var found: [Incident] = []
    let oldestID = idCount > idMask ? idCount - idMask - 1 : 0
    var next = noteCount
    let oldest = noteCount > noteMask ? noteCount - noteMask - 1 : 0
    while next > oldest && found.count < limit {
      next -= 1
      let note = notes[Int(next & noteMask)]
      if note.kind == .cleared {
        found.append(Self.incident(note, isSecond: false))
      } else if note.tier == tier {
        let end = note.first + UInt64(note.count)
        if end <= oldestID && note.count > 0 { break }
        var place = max(note.first, oldestID)
        while place < end {
          if ids[Int(place & idMask)] == block {
            found.append(Self.incident(note, isSecond: (place - note.first) & 1 == 1))
            break
          }
          place += 1
        }
      }
    }
    return found.reversed()
  }

  private static func incident(_ note: Note, isSecond: Bool) -> Incident {
    let isTarget =
      switch (note.kind, note.cause) {
      // Device blocks only are named: those that are copied to the host, or into which is copied.
      case (.moved, .swapOut): false
      case (.moved, .swapIn): true
      case (.copied, _), (.moveOrdered, _), (.moved, _): isSecond
      default: false
      }
    return Incident(
      revision: note.revision, milliseconds: note.milliseconds, kind: note.kind,
      cause: note.cause, owner: note.owner, isTarget: isTarget)
  }
}
