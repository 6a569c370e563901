/// Which blocks hold which content: from a hash and a group to the blocks that have it.
///
/// Owns the cold column of the blocks' hashes, an open-addressing table from content to the first
/// block that has it, and the ring of the blocks with the same content in the order in which they
/// were cached. Content may be there twice (vLLM does not merge it): the first survivor answers.
/// Never looks at references or at the queue, never decides what is cached or forgotten.
///
/// A record's `twin` is the next block of its ring, itself where there is no other. The table has a
/// fixed size, at most 3/4 full, and 8 bytes an entry; its order is no part of a pool's state.
final class PrefixIndex {
  let hashBytes: Int
  /// Different contents that can be hit.
  private(set) var contents = 0
  let capacity: Int
  let records: UnsafeMutablePointer<BlockRecord>
  private let wordsPerHash: Int
  private let hashes: UnsafeMutablePointer<UInt64>
  /// The block before each in its ring; of the first one it is the last.
  private let previous: UnsafeMutablePointer<BlockID>
  private let entries: UnsafeMutablePointer<Entry>
  private let mask: Int
  let secret: MapSecret
  private let undo: UndoLog
  /// By entry, how many blocks have its content where those are several, and anything where it is one: most
  /// contents come and go without a look at it. nil where nobody asks.
  private var copies: UnsafeMutablePointer<UInt32>?
  /// Of the content that was inserted last; 0 where they are not counted.
  private(set) var insertedCopies: UInt32 = 0
  /// By block, the first word of the hash before that of its content: 0 where that begins its prefix, or
  /// where nobody followed the pool when it was stored. nil where nobody does.
  private(set) var parents: UnsafeMutablePointer<UInt64>?

  private struct Entry: BitwiseCopyable {
    var tag: UInt32 = 0
    /// 0 = empty.
    var first: BlockID = 0
  }

  /// `records` outlive the index.
  init(
    capacity: UInt32, hashBytes: Int, records: UnsafeMutablePointer<BlockRecord>,
    secret: MapSecret, undo: UndoLog
  ) {
    self.secret = secret
    precondition(hashBytes == 32 || hashBytes == 16, "a hash has 32 or 16 bytes")
    self.capacity = Int(capacity)
    self.hashBytes = hashBytes
    self.records = records
    self.undo = undo
    wordsPerHash = hashBytes / 8
    var size = 16
    while size * 3 < Int(capacity) * 4 { size *= 2 }
    mask = size - 1
    hashes = .allocate(capacity: (Int(capacity) + 1) * wordsPerHash)
    hashes.initialize(repeating: 0, count: (Int(capacity) + 1) * wordsPerHash)
    previous = .allocate(capacity: Int(capacity) + 1)
    previous.initialize(repeating: 0, count: Int(capacity) + 1)
    entries = .allocate(capacity: size)
    entries.initialize(repeating: Entry(), count: size)
  }

  deinit {
    hashes.deallocate()
    previous.deallocate()
    entries.deallocate()
    copies?.deallocate()
    parents?.deallocate()
  }

  /// Bytes of the column, the rings and the table; and of the parents and the copies while they are kept.
  var memory: Int {
    (capacity + 1) * (hashBytes + MemoryLayout<BlockID>.stride)
      + (mask + 1) * MemoryLayout<Entry>.stride
      + (parents == nil ? 0 : (capacity + 1) * MemoryLayout<UInt64>.stride)
      + (copies == nil ? 0 : (mask + 1) * MemoryLayout<UInt32>.stride)
  }

  // MARK: Finding

  /// The first block that was given this content and still has it; 0 = none. Changes nothing.
  func first(_ hash: BlockHash, group: UInt8) -> BlockID { entries[place(hash, group)].first }

  /// The content of a block that has some.
  @inline(__always)
  func hash(of id: BlockID) -> BlockHash {
    let words = hashes + Int(id) * wordsPerHash
    return wordsPerHash == 2
      ? BlockHash(words[0], words[1]) : BlockHash(words[0], words[1], words[2], words[3])
  }

  func isFirst(_ id: BlockID) -> Bool { first(hash(of: id), group: records[Int(id)].group) == id }

  func before(_ id: BlockID) -> BlockID { previous[Int(id)] }

  /// The entry of the content, or the empty one where it would go.
  private func place(_ hash: BlockHash, _ group: UInt8) -> Int {
    let tag = hash.tag(group, secret)
    var i = Int(tag) & mask
    while entries[i].first != 0 {
      let first = entries[i].first
      if entries[i].tag == tag && self.hash(of: first) == hash
        && records[Int(first)].group == group
      {
        return i
      }
      i = (i + 1) & mask
    }
    return i
  }

  // MARK: Changing

  /// The block now has this content, behind those that have it already.
  func insert(_ id: BlockID, _ hash: BlockHash, group: UInt8) {
    precondition(records[Int(id)].twin == 0, "cached a block that has content")
    if undo.isRecording {
      undo.contents.append(
        .init(block: id, next: 0, group: group, isInsertion: true, wasFirst: false, hash: hash))
    }
    save(id)
    write(hash, to: id)
    records[Int(id)].group = group
    let place = place(hash, group)
    let first = entries[place].first
    if first == 0 {
      entries[place] = Entry(tag: hash.tag(group, secret), first: id)
      records[Int(id)].twin = id
      previous[Int(id)] = id
      contents += 1
      if copies != nil { insertedCopies = 1 }
    } else {
      countCopy(of: first, at: place)
      link(id, before: first)
      if let copies { insertedCopies = copies[place] }
    }
  }

  /// The content of a block becomes that of another, at the same place of its ring.
  func move(_ id: BlockID, to target: BlockID) {
    precondition(records[Int(target)].twin == 0, "moved content to a block that has some")
    let hash = hash(of: id)
    let group = records[Int(id)].group
    let place = place(hash, group)
    if undo.isRecording {
      undo.contents.append(
        .init(block: target, next: 0, group: group, isInsertion: true, wasFirst: false, hash: hash))
    }
    save(target)
    write(hash, to: target)
    records[Int(target)].group = group
    countCopy(of: id, at: place)
    link(target, before: id)
    if entries[place].first == id { entries[place].first = target }
    if let parents { setParent(of: target, parents[Int(id)]) }
    remove(id)
  }

  /// The block has no content any more. Returns how many blocks have it still, where copies are
  /// counted.
  @discardableResult
  func remove(_ id: BlockID) -> UInt32 {
    let next = records[Int(id)].twin
    precondition(next != 0, "forgot the content of a block that has none")
    let hash = hash(of: id)
    let group = records[Int(id)].group
    let place = place(hash, group)
    let isFirst = entries[place].first == id
    if undo.isRecording {
      undo.contents.append(
        .init(
          block: id, next: next, group: group, isInsertion: false, wasFirst: isFirst, hash: hash))
    }
    save(id)
    records[Int(id)].twin = 0
    if next == id {
      removeEntry(at: place)
      contents -= 1
      return 0
    }
    let last = previous[Int(id)]
    save(last)
    records[Int(last)].twin = next
    previous[Int(next)] = last
    if isFirst { entries[place].first = next }
    guard let copies else { return 0 }
    copies[place] -= 1
    return copies[place]
  }

  /// Forgets all content; the caller has cleared the records.
  func removeAll() {
    for i in 0...mask { entries[i].first = 0 }
    contents = 0
  }

  /// Takes back an insertion or a removal, newest first and before the records are restored.
  func undo(_ saved: UndoLog.SavedContent) {
    if saved.isInsertion {
      remove(saved.block)
      return
    }
    if saved.next == saved.block { return insert(saved.block, saved.hash, group: saved.group) }
    write(saved.hash, to: saved.block)
    if saved.wasFirst || copies != nil {
      let place = place(saved.hash, saved.group)
      if saved.wasFirst { entries[place].first = saved.block }
      countCopy(of: saved.next, at: place)
    }
    link(saved.block, before: saved.next)
  }

  /// Before a block is linked to those that have the same content, of which `id` is one.
  private func countCopy(of id: BlockID, at place: Int) {
    guard let copies else { return }
    copies[place] = records[Int(id)].twin == id ? 2 : copies[place] + 1
  }

  private func link(_ id: BlockID, before next: BlockID) {
    let last = previous[Int(next)]
    save(last)
    records[Int(last)].twin = id
    previous[Int(id)] = last
    records[Int(id)].twin = next
    previous[Int(next)] = id
  }

  private func write(_ hash: BlockHash, to id: BlockID) {
    let words = hashes + Int(id) * wordsPerHash
    words[0] = hash.words.0
    words[1] = hash.words.1
    if wordsPerHash == 2 { return }
    words[2] = hash.words.2
    words[3] = hash.words.3
  }

  private func save(_ id: BlockID) { undo.note(id, records) }

  /// Deletion by shifting back, as in `WideMap`; the tag says where an entry belongs.
  private func removeEntry(at index: Int) {
    var hole = index
    var i = index
    while true {
      i = (i + 1) & mask
      if entries[i].first == 0 { break }
      let distanceFromHome = (i - Int(entries[i].tag) & mask) & mask
      if distanceFromHome < (i - hole) & mask { continue }
      entries[hole] = entries[i]
      if let copies { copies[hole] = copies[i] }
      hole = i
    }
    entries[hole].first = 0
  }

  // MARK: Parents

  /// Of a block that was just given content; they are kept.
  func setParent(of id: BlockID, _ hash: UInt64) {
    guard let parents else { preconditionFailure("a parent that nobody keeps") }
    undo.note(parents + Int(id))
    parents[Int(id)] = hash
  }

  /// Whether they are kept: 8 bytes a block, and O(blocks) to begin, where no command waits for it.
  var keepsParents: Bool {
    get { parents != nil }
    set {
      if newValue == keepsParents { return }
      parents?.deallocate()
      parents = newValue ? .allocate(capacity: capacity + 1) : nil
      parents?.initialize(repeating: 0, count: capacity + 1)
    }
  }

  // MARK: Copies

  /// Whether it is counted how many blocks have each content: 4 bytes an entry, and O(blocks) to begin.
  var countsCopies: Bool {
    get { copies != nil }
    set {
      if newValue == countsCopies { return }
      copies?.deallocate()
      copies = newValue ? .allocate(capacity: mask + 1) : nil
      for i in 0...mask { copies?[i] = countRing(from: entries[i].first) }
    }
  }

  private func countRing(from first: BlockID) -> UInt32 {
    if first == 0 { return 0 }
    var count: UInt32 = 0
    var id = first
    repeat {
      count += 1
      id = records[Int(id)].twin
    } while id != first && count < UInt32(capacity)
    return count
  }

  // MARK: Checking

  /// What is wrong with the index; nil when nothing is. O(blocks + entries).
  func check() -> String? {
    var met = 0
    for i in 0...mask where entries[i].first != 0 {
      met += 1
      let first = entries[i].first
      let content = hash(of: first)
      let group = records[Int(first)].group
      if place(content, group) != i { return "the index does not find the content of \(first)" }
      var id = first
      repeat {
        let next = records[Int(id)].twin
        if next == 0 { return "block \(id) is in a ring and has no content" }
        if previous[Int(next)] != id { return "the ring of block \(id) is linked wrongly" }
        if hash(of: id) != content || records[Int(id)].group != group {
          return "block \(id) is in the ring of other content"
        }
        id = next
      } while id != first
      if let copies, records[Int(first)].twin != first, copies[i] != countRing(from: first) {
        return "the copies of the content of \(first) are counted wrongly"
      }
    }
    if met != contents { return "the contents are counted wrongly" }
    var inRings = 0
    for i in 0...mask where entries[i].first != 0 {
      var id = entries[i].first
      repeat {
        inRings += 1
        id = records[Int(id)].twin
      } while id != entries[i].first
    }
    var cached = 0
    for id in 1...capacity where records[id].twin != 0 { cached += 1 }
    return inRings == cached ? nil : "a block with content is in no ring"
  }
}
