/// Token ids of blocks, where the pool keeps them.
extension KVPool {
  /// Tokens of a block of that size class: of the index, 0 in a pool without.
  package func blockSize(ofClass index: UInt8) -> UInt32 {
    hasClasses ? configuration.sizeClasses[Int(index)].blockSize : configuration.blockSize
  }

  /// The ids that the blocks of a `stored` entry hold, one block behind the other; empty where the pool
  /// does not keep token ids, where the blocks were cached by hashes, and where the sequence is gone, or
  /// has gone back behind them, by the end of the command. Borrowed, until the next command. O(1).
  package func tokenIDs(
    stored entry: ChangeLog.Entry, _ log: ChangeLog
  ) -> UnsafeBufferPointer<UInt32> {
    let contents = log.contents(of: entry)
    guard configuration.keepsTokens, let slot = slot(stored: entry), let last = contents.last else {
      return .init(start: nil, count: 0)
    }
    return tokenIDs(of: slot, from: entry.tableIndex, UInt32(contents.count), endingIn: last.hash)
  }

  /// Whether `tokenIDs(stored:)` and `extraKeys(stored:)` may have something to say.
  package var keepsWhatWasStored: Bool {
    configuration.keepsTokens || (chains?.hasKeys ?? false)
  }

  /// The extra keys, for the hasher, of the sequence whose blocks a `stored` entry is about; empty where it
  /// has none, where the blocks were cached by hashes, and where the sequence is gone by the end of the
  /// command. Borrowed, until the next command. O(1).
  package func extraKeys(stored entry: ChangeLog.Entry) -> UnsafeBufferPointer<UInt8> {
    guard let chains, chains.hasKeys, let slot = slot(stored: entry) else {
      return .init(start: nil, count: 0)
    }
    return chains.chains[Int(slot)].keyBytes
  }

  /// Of the sequence whose blocks were stored, if it is still there.
  private func slot(stored entry: ChangeLog.Entry) -> UInt32? {
    if entry.kind != .stored || entry.owner.kind != .sequence { return nil }
    let owner = sessions.find(entry.owner.session)
    if owner == SequenceSlot.none { return nil }
    let slot = sequences.find(entry.owner.sequence, session: owner)
    return slot == SequenceSlot.none ? nil : slot
  }

  /// The ids of `count` blocks of a sequence, from the one at `index` of its table on, if the last of
  /// them has that hash: a hash covers all that is before it.
  func tokenIDs(
    of slot: UInt32, from index: UInt32, _ count: UInt32, endingIn hash: BlockHash
  ) -> UnsafeBufferPointer<UInt32> {
    let none = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    guard let chains else { return none }
    let chain = chains.chains[Int(slot)]
    if index + count > chain.count || chains.hash(index + count - 1, of: slot) != hash {
      return none
    }
    let size = blockSize(of: slot)
    let begin = index * size
    let end = begin + count * size
    if begin < chain.tokensBegin || end > chain.tokensEnd { return none }
    return UnsafeBufferPointer(
      rebasing: chain.keptTokens[Int(begin - chain.tokensBegin)..<Int(end - chain.tokensBegin)])
  }
}

/// Where a block's content came from: the place in the table of a running sequence that has it.
package struct ContentSource: BitwiseCopyable {
  var slot: UInt32
  var index: UInt32

  /// No sequence that runs has the block, or it was filled with something else since.
  static let none = ContentSource(slot: SequenceSlot.none, index: 0)
}

extension KVPool {
  /// Of each block of the device by its id, the null block first, a sequence that has it with the
  /// content that it holds. O(blocks + table entries), 8 bytes a block.
  package func contentSources() -> [ContentSource] {
    var sources = [ContentSource](repeating: .none, count: Int(blocks.capacity) + 1)
    guard let chains else { return sources }
    for slot in 0..<sequences.slotCount where sequences.slots[Int(slot)].isRunning {
      let table = sequences.slots[Int(slot)].blocks
      let known = min(UInt32(table.count), chains.chains[Int(slot)].count)
      for index in 0..<known {
        let id = table[Int(index)]
        if id == 0 || sources[Int(id)].slot != SequenceSlot.none { continue }
        if let content = blocks.content(id), content == chains.hash(index, of: slot) {
          sources[Int(id)] = ContentSource(slot: slot, index: index)
        }
      }
    }
    return sources
  }

  /// The hash of the block before the one that the source is of; nil where that is the first. O(1).
  package func parentHash(_ source: ContentSource) -> BlockHash? {
    guard let chains, source.slot != SequenceSlot.none, source.index > 0 else { return nil }
    return chains.hash(source.index - 1, of: source.slot)
  }

  /// The tokens in the block that the source is of; empty where the pool does not keep them. Borrowed,
  /// until the next command. O(1).
  package func tokenIDs(_ source: ContentSource) -> UnsafeBufferPointer<UInt32> {
    guard let chains, configuration.keepsTokens, source.slot != SequenceSlot.none else {
      return .init(start: nil, count: 0)
    }
    let hash = chains.hash(source.index, of: source.slot)
    return tokenIDs(of: source.slot, from: source.index, 1, endingIn: hash)
  }
}
