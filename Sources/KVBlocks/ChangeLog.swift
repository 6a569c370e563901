/// What the last command did to blocks, in the order in which it happened.
///
/// A pool has one where somebody asked for it (`KVPool.attachChangeLog`), and records nothing where
/// nobody did. It is emptied when a command begins and when one is undone, so after `apply` it has
/// what stands: nothing after a dry run, a refusal or a command that changed nothing. Entries name
/// blocks, and no block changes its content without being named, nor, in a log of everything, its state,
/// its references, its pins or its generation; what it is by now its record says (`KVPool.mark`). An entry
/// may name a block that is as it was.
///
/// Flat lists of plain values: an entry, and its parts of the lists of blocks, of contents, of copies
/// and of children. O(1) for each block named, no memory is allocated once the lists have grown; what
/// one huge command took goes with the next one. No clock: the revision is the command's.
package final class ChangeLog {
  /// What is recorded.
  package enum Detail {
    /// What blocks have, and where: evicted, stored, cleared, copied, moveOrdered, moved, sequenceForked.
    case contents
    /// Who has them, too: a word for each block taken, hit, shared or given back.
    case everything
  }

  package enum Kind: UInt8, BitwiseCopyable, CaseIterable {
    /// Taken from the available blocks, without content. Where a strategy rounds up (`.rounding`),
    /// nobody holds the rest.
    case handedOut = 1
    /// Lost their content. `contents` has what it was and how many blocks have it still: nobody can
    /// hit it any more where that is 0. The owner is for whom; in a log of contents nobody.
    case evicted
    /// Found by their content, one more reference each.
    case hit
    /// One more reference each, by a fork or because several swapped sequences come back to them.
    case shared
    /// One reference less each, in the order in which they were given back.
    case released
    /// Can be hit from now on: one call of vLLM's `cache_full_blocks`. `contents` has the hashes, in
    /// the order of the prefix, and how many blocks have each by now; `parent` the one before them. Where
    /// blocks of the call had content already, there is an entry for each stretch between them.
    case stored
    /// All content is gone (`.reset`; what had some was named as evicted before), or the pool is as
    /// created (`.pool`): everything is free, and nothing else is named.
    case cleared
    /// A copy on write was ordered: source and target by turns.
    case copied
    /// Copies for a defragmentation were ordered: source and target by turns. The targets are set aside.
    case moveOrdered
    /// Content is elsewhere now. `.defragment`: source and target by turns, with all references;
    /// `.swapOut`, `.swapIn`: the blocks of the device that copies to or from the host were ordered of.
    case moved
    /// A session keeps their content.
    case pinned
    /// A session does not any more (`.prefix`), or a copy is done (`.acknowledgement`).
    case unpinned
    /// The owner got `children`; whatever they share is named as theirs.
    case sequenceForked
    /// Of the blocks released before: nobody holds them, and they wait for their batch.
    case lazilyFreed
    /// They waited and are free or cached now.
    case flushed
  }

  /// Why, where the kind does not say it all.
  package enum Cause: UInt8, BitwiseCopyable {
    case none = 0
    // evicted
    /// The block was wanted.
    case handOut
    /// Before it was wanted: by a flush, or by a recovery.
    case ahead
    case request
    /// Slots that had tokens are written again.
    case overwrite
    // released
    case free
    case preemption
    /// A sliding window is past them.
    case window
    /// Replaced by the target of a copy.
    case copy
    // released, evicted
    case rewind
    // released, moved
    case swapOut
    case swapIn
    // handedOut, released
    case rounding
    // evicted, moved
    case defragment
    // evicted, cleared
    case reset
    // cleared
    case pool
    // pinned, unpinned
    case prefix
    case acknowledgement
  }

  package struct Entry: BitwiseCopyable {
    package let kind: Kind
    package let cause: Cause
    /// Of the blocks named.
    package let tier: Tier
    /// The index of their size class, 0 in a pool without and on the host: of one class each.
    package let sizeClass: UInt8
    /// Who took, hit, shares, gave back, caches, pins or has the copies.
    package let owner: BlockOwner
    /// stored, by a sequence: where its table has the first of the blocks.
    package internal(set) var tableIndex: UInt32 = 0
    package internal(set) var count: UInt32 = 0
    /// Of the list of blocks.
    package internal(set) var first: UInt32
    /// Of the list of contents, copies or children, as the kind says.
    package internal(set) var firstDetail: UInt32 = 0
    package internal(set) var details: UInt32 = 0
    /// stored: the content before its first one has the hash of the block before.
    package internal(set) var hasParent = false
  }

  /// What a block has or had.
  package struct Content: BitwiseCopyable {
    /// Of 32 bytes, or of 16 and then 0. Stands first: encoders read it where it lies.
    package let hash: BlockHash
    /// Blocks of the same size class that have the same, after this.
    package let copies: UInt32
  }

  package internal(set) var entries = FlatList<Entry>()
  var blocks = FlatList<BlockID>(minimumCapacity: 64)
  var contents = FlatList<Content>()
  var copies = FlatList<CopyOrder>(minimumCapacity: 1)
  var children = FlatList<SequenceID>(minimumCapacity: 1)
  /// The session of the command at hand.
  package internal(set) var session: SessionID = 0
  /// Who is in which slot. A pool that goes takes this away; to count references for each entry would
  /// cost as much as the entry.
  var names: (sequences: Unmanaged<SequenceTable>, sessions: Unmanaged<SessionTable>)?

  init() {}

  // MARK: Reading

  package var isEmpty: Bool { entries.count == 0 }

  /// The lists as they lie in memory, for who reads all of them after each command.
  package struct Lists {
    package let entries: UnsafeBufferPointer<Entry>
    package let blocks: UnsafePointer<BlockID>
    package let contents: UnsafePointer<Content>
  }

  /// Borrowed, until the pool's next command.
  package var lists: Lists {
    Lists(
      entries: entries.elements, blocks: UnsafePointer(blocks.base),
      contents: UnsafePointer(contents.base))
  }

  /// Borrowed, as all of these: until the pool's next command.
  package func blocks(of entry: Entry) -> UnsafeBufferPointer<BlockID> {
    blocks.elements(Slice32(start: entry.first, count: entry.count))
  }

  /// evicted, stored: one for each block.
  package func contents(of entry: Entry) -> UnsafeBufferPointer<Content> {
    guard entry.kind == .evicted || entry.kind == .stored else {
      return .init(start: nil, count: 0)
    }
    return contents.elements(Slice32(start: entry.firstDetail, count: entry.details))
  }

  /// stored: the hash of the block before the first one; nil where that begins its prefix.
  package func parent(of entry: Entry) -> BlockHash? {
    entry.hasParent ? contents[Int(entry.firstDetail) - 1].hash : nil
  }

  /// copied, moveOrdered, moved.
  package func copies(of entry: Entry) -> UnsafeBufferPointer<CopyOrder> {
    guard entry.kind == .copied || entry.kind == .moveOrdered || entry.kind == .moved else {
      return .init(start: nil, count: 0)
    }
    return copies.elements(Slice32(start: entry.firstDetail, count: entry.details))
  }

  /// sequenceForked.
  package func children(of entry: Entry) -> UnsafeBufferPointer<SequenceID> {
    guard entry.kind == .sequenceForked else { return .init(start: nil, count: 0) }
    return children.elements(Slice32(start: entry.firstDetail, count: entry.details))
  }

  /// Bytes that the lists have.
  package var memory: Int {
    entries.memory + blocks.memory + contents.memory + copies.memory + children.memory
  }
}

/// Whose a block is, by the names that clients know.
package struct BlockOwner: Equatable, BitwiseCopyable {
  package enum Kind: UInt8, BitwiseCopyable {
    case nobody
    /// A session, of which no sequence has to do with it.
    case raw
    case sequence
    /// Several, or one that is left of several: the tables and the sessions know.
    case several
  }

  package var kind: Kind
  /// raw, sequence.
  package var session: SessionID
  /// sequence.
  package var sequence: SequenceID

  package init(_ kind: Kind = .nobody, session: SessionID = 0, sequence: SequenceID = 0) {
    self.kind = kind
    self.session = session
    self.sequence = sequence
  }

  /// `sequences` and `sessions` are the slots of their tables.
  @inline(__always)
  init(
    _ holder: Holder, _ sequences: UnsafePointer<SequenceSlot>,
    _ sessions: UnsafePointer<SessionSlot>
  ) {
    if holder.isRaw {
      self.init(.raw, session: sessions[Int(holder.slot)].id)
    } else if holder.isSequence {
      let sequence = sequences + Int(holder.slot)
      self.init(
        .sequence, session: sessions[Int(sequence.pointee.session)].id,
        sequence: sequence.pointee.id)
    } else {
      self.init(holder == .shared ? .several : .nobody)
    }
  }
}
