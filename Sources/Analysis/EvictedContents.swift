package import KVBlocks

/// Which content could be hit once and cannot any more: why, since when, and by whom.
///
/// A ring of fixed size, the newest push the oldest out, and beside it a table from hashes to the
/// newest record; 7 MiB with the default size, used as it fills. To note an eviction is O(1), to look one
/// up O(1) expected, of hashes that somebody made, too: where they fall is a secret.
package final class EvictedContents {
  package struct Eviction: Equatable {
    package let hash: BlockHash
    package let revision: Revision
    /// As `note` was told.
    package let milliseconds: UInt64
    package let cause: ChangeLog.Cause
    /// For whom the block was wanted.
    package let owner: BlockOwner
    package let block: BlockID
  }

  private struct Record: BitwiseCopyable {
    var hash: BlockHash
    var revision: Revision
    var milliseconds: UInt64
    var owner: BlockOwner
    /// The number of the record before it in its chain, from 1; 0 = none.
    var previous: UInt64
    var block: BlockID
    var cause: ChangeLog.Cause
  }

  package static let defaultCapacity = 1 << 16

  private let records: UnsafeMutablePointer<Record>
  /// Numbers of the newest records, by hash; 0 = none.
  private let newest: UnsafeMutablePointer<UInt64>
  private let capacity: Int
  private let secret: MapSecret
  /// Noted in all. The record of number n is at (n - 1) modulo the capacity.
  package private(set) var count: UInt64 = 0
  /// Of the evicted contents, those that were stored again since, each time counting: what an eviction cost.
  /// A lower bound: what was pushed out is not recognised.
  package private(set) var storedAgain: UInt64 = 0
  /// When everything was lost at once, without a record for each: the pool began anew.
  package private(set) var clearedAt: Revision?

  /// - Parameters:
  ///   - capacity: Records kept at most; a power of two.
  ///   - secret: Spreads the hashes, which clients may choose.
  package init(capacity: Int = defaultCapacity, secret: MapSecret) {
    precondition(capacity > 0 && capacity & (capacity - 1) == 0, "a ring has 2^n places")
    self.capacity = capacity
    self.secret = secret
    records = .allocate(capacity: capacity)
    newest = .allocate(capacity: capacity)
    newest.initialize(repeating: 0, count: capacity)
  }

  deinit {
    records.deallocate()
    newest.deallocate()
  }

  /// Evictions that were pushed out: of content without a record nobody knows whether it was one of them.
  package var forgotten: UInt64 { count > UInt64(capacity) ? count - UInt64(capacity) : 0 }

  /// All that a command evicted. Content that other blocks have still is none of it. O(entries, and
  /// blocks evicted and stored).
  package func note(_ log: ChangeLog, at revision: Revision, _ milliseconds: UInt64) {
    for entry in log.entries.elements {
      if case .cleared = entry.kind, case .pool = entry.cause {
        forget()
        clearedAt = revision
      }
      if case .stored = entry.kind {
        // What others have, too, was never lost or has been counted.
        for content in log.contents(of: entry)
        where content.copies == 1 && last(of: content.hash) != nil { storedAgain += 1 }
      }
      guard case .evicted = entry.kind else { continue }
      let blocks = log.blocks(of: entry)
      for (i, content) in log.contents(of: entry).enumerated() where content.copies == 0 {
        let place = slot(of: content.hash)
        records[Int(count & UInt64(capacity - 1))] = Record(
          hash: content.hash, revision: revision, milliseconds: milliseconds, owner: entry.owner,
          previous: newest[place], block: blocks[i], cause: entry.cause)
        count += 1
        newest[place] = count
      }
    }
  }

  /// Another pool took the place of the one that was followed.
  package func forget() {
    newest.update(repeating: 0, count: capacity)
    count = 0
    storedAgain = 0
    clearedAt = nil
  }

  /// The last time that the content was lost; nil where it never was or is forgotten. It may have been
  /// stored again since.
  package func last(of hash: BlockHash) -> Eviction? {
    var number = newest[slot(of: hash)]
    while number > forgotten {
      let record = records[Int((number - 1) & UInt64(capacity - 1))]
      if record.hash == hash {
        return Eviction(
          hash: hash, revision: record.revision, milliseconds: record.milliseconds,
          cause: record.cause, owner: record.owner, block: record.block)
      }
      number = record.previous
    }
    return nil
  }

  private func slot(of hash: BlockHash) -> Int {
    Int(truncatingIfNeeded: hash.fold(0, secret)) & (capacity - 1)
  }
}
