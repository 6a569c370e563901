import KVBlocks

/// What a change log says of contents, as numbers: the same of a log of everything as of one of contents alone.
/// Neighbouring evictions and copies, between which the one may have other entries, are told one by one, and evictions
/// without an owner.
struct ContentNotes: Equatable {
  private(set) var numbers: [UInt64] = []

  init(_ log: ChangeLog) {
    for entry in log.entries.elements {
      switch entry.kind {
      case .evicted:
        for (id, content) in zip(log.blocks(of: entry), log.contents(of: entry)) {
          add(entry)
          numbers += [
            UInt64(id), content.hash.words.0, content.hash.words.3, UInt64(content.copies),
          ]
        }
      case .stored:
        add(entry)
        add(entry.owner)
        numbers += [UInt64(entry.tableIndex), log.parent(of: entry)?.words.0 ?? 0]
        for (id, content) in zip(log.blocks(of: entry), log.contents(of: entry)) {
          numbers += [
            UInt64(id), content.hash.words.0, content.hash.words.3, UInt64(content.copies),
          ]
        }
      case .cleared: add(entry)
      case .sequenceForked:
        add(entry)
        add(entry.owner)
        numbers += log.children(of: entry)
      case .copied, .moveOrdered, .moved:
        for copy in log.copies(of: entry) {
          add(entry)
          add(entry.owner)
          numbers += [copy.id, UInt64(copy.source), UInt64(copy.target), UInt64(copy.tokens)]
        }
      case .handedOut, .hit, .shared, .released, .pinned, .unpinned, .lazilyFreed, .flushed: break
      }
    }
  }

  /// Whether a log has entries that one of contents alone does not have.
  static func hasMore(_ log: ChangeLog) -> Bool {
    log.entries.elements.contains {
      switch $0.kind {
      case .evicted, .stored, .cleared, .sequenceForked, .copied, .moveOrdered, .moved: false
      case .handedOut, .hit, .shared, .released, .pinned, .unpinned, .lazilyFreed, .flushed: true
      }
    }
  }

  private mutating func add(_ entry: ChangeLog.Entry) {
    numbers += [
      UInt64(entry.kind.rawValue), UInt64(entry.cause.rawValue), entry.tier == .host ? 1 : 0,
      UInt64(entry.sizeClass),
    ]
  }

  private mutating func add(_ owner: BlockOwner) {
    numbers += [UInt64(owner.kind.rawValue), owner.session, owner.sequence]
  }
}
