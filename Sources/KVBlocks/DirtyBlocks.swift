/// The blocks of a pool that were ever handed out: memory that somebody may have written.
///
/// One bit a block; it only ever grows, but for what is undone. Exists only in pools that mark blocks
/// to be zeroed. Owns its memory.
final class DirtyBlocks {
  /// Blocks 1 ... capacity; bit 0 stays 0.
  private let capacity: UInt32
  private let words: UnsafeMutablePointer<UInt64>
  private let undo: UndoLog

  private var wordCount: Int { Int(capacity) / 64 + 1 }

  init(capacity: UInt32, undo: UndoLog) {
    self.capacity = capacity
    self.undo = undo
    words = .allocate(capacity: Int(capacity) / 64 + 1)
    words.initialize(repeating: 0, count: wordCount)
  }

  deinit { words.deallocate() }

  func contains(_ id: BlockID) -> Bool { words[Int(id >> 6)] >> UInt64(id & 63) & 1 == 1 }

  /// Whether it was in already.
  func insert(_ id: BlockID) -> Bool {
    let word = words + Int(id >> 6)
    let bit: UInt64 = 1 << UInt64(id & 63)
    if word.pointee & bit != 0 { return true }
    undo.note(word)
    word.pointee |= bit
    return false
  }

  /// The blocks of a pool whose place this one takes: the same memory. Where that pool did not note
  /// them, or had other blocks (`areSame` is false), all are taken for dirty.
  func inherit(_ other: DirtyBlocks?, areSame: Bool) {
    for id in 1...capacity where !areSame || (other?.contains(id) ?? true) { _ = insert(id) }
  }

  // MARK: In a dump

  /// Without the clean blocks behind the last dirty one.
  func write(to writer: StateWriter) {
    var count = wordCount
    while count > 0 && words[count - 1] == 0 { count -= 1 }
    writer.section("ZERO")
    writer.u32(UInt32(count))
    for i in 0..<count { writer.u64(words[i]) }
  }

  func read(from reader: inout StateReader) throws(StateFailure) {
    try reader.section("ZERO")
    let count = try reader.u32("words of dirty blocks", through: UInt32(wordCount))
    for i in 0..<Int(count) { words[i] = try reader.u64() }
    let last = (words[wordCount - 1] >> UInt64(capacity & 63)) >> 1
    if words[0] & 1 != 0 || last != 0 { throw reader.failure("a block is dirty that is none") }
  }
}
