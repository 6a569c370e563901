/// What it takes to undo a command: old values in the order they were overwritten.
///
/// Recording is on only for dry runs and for commands that may be aborted. Each kind of state has a
/// list of its own, because kinds are restored independently; within a list the last saved value is
/// restored first. Nothing in here knows what the values mean.
final class UndoLog {
  private(set) var isRecording = false
  /// A bit a block for who follows the pool (`TouchedBlocks`); nil where nobody does. What is saved is
  /// about to change, so this is where to learn of it.
  var touched: UnsafeMutablePointer<UInt64>? { didSet { setNoting() } }
  /// Either: the one test that a record's change pays.
  private(set) var notesBlocks = false

  struct SavedBlock: BitwiseCopyable {
    var id: BlockID
    var record: BlockRecord
  }
  struct SavedSlot: BitwiseCopyable {
    var index: UInt32
    var slot: SequenceSlot
  }
  struct SavedTableEntry: BitwiseCopyable {
    var place: UnsafeMutablePointer<BlockID>
    var value: BlockID
  }
  /// A word of some column whose memory stays where it is.
  struct SavedWord: BitwiseCopyable {
    var place: UnsafeMutablePointer<UInt64>
    var value: UInt64
  }
  struct SavedPin: BitwiseCopyable {
    var index: UInt32
    var pin: PrefixPin
  }
  struct SavedPinLink: BitwiseCopyable {
    var index: UInt32
    var link: PinLink
  }
  struct SavedSession: BitwiseCopyable {
    var index: UInt32
    var session: SessionSlot
  }
  struct SavedCopy: BitwiseCopyable {
    var index: UInt32
    var copy: PendingCopy
  }
  struct SavedMapEntry: BitwiseCopyable {
    var map: WideMap.Identity
    var a: UInt64
    var b: UInt32
    var value: UInt32
  }
  struct SavedContent: BitwiseCopyable {
    var block: BlockID
    /// Of a removal: the block behind it in its ring, itself where it was alone.
    var next: BlockID
    var group: UInt8
    var isInsertion: Bool
    var wasFirst: Bool
    var hash: BlockHash
  }
  struct SavedChain: BitwiseCopyable {
    var index: UInt32
    var chain: HashChain
  }
  struct SavedHash: BitwiseCopyable {
    var place: UnsafeMutablePointer<UInt8>
    var hash: BlockHash
  }
  struct SavedToken: BitwiseCopyable {
    var place: UnsafeMutablePointer<UInt32>
    var token: UInt32
  }
  /// Memory that one of the two outcomes has no more use for.
  struct SavedMemory: BitwiseCopyable {
    var memory: UnsafeMutableRawPointer
    var isNew: Bool
  }

  var blocks = FlatList<SavedBlock>()
  var contents = FlatList<SavedContent>(minimumCapacity: 1)
  var chains = FlatList<SavedChain>(minimumCapacity: 1)
  var chainHashes = FlatList<SavedHash>(minimumCapacity: 1)
  var chainTokens = FlatList<SavedToken>(minimumCapacity: 1)
  var slots = FlatList<SavedSlot>()
  var tableEntries = FlatList<SavedTableEntry>()
  var words = FlatList<SavedWord>(minimumCapacity: 1)
  var pins = FlatList<SavedPin>(minimumCapacity: 1)
  var pinLinks = FlatList<SavedPinLink>(minimumCapacity: 1)
  var sessions = FlatList<SavedSession>()
  var copies = FlatList<SavedCopy>()
  var mapEntries = FlatList<SavedMapEntry>()
  var memory = FlatList<SavedMemory>()

  /// To be called before a word of a column is changed whose memory stays where it is.
  @inline(__always)
  func note(_ place: UnsafeMutablePointer<UInt64>) {
    if isRecording { words.append(.init(place: place, value: place.pointee)) }
  }

  @inline(__always)
  func note(_ place: UnsafeMutablePointer<UInt32>) {
    if isRecording { tableEntries.append(.init(place: place, value: place.pointee)) }
  }

  func begin() {
    precondition(!isRecording, "recorded two commands at once")
    isRecording = true
    setNoting()
  }

  /// Stops recording; what is recorded stays until `clear`.
  func stop() {
    isRecording = false
    setNoting()
  }

  private func setNoting() { notesBlocks = isRecording || touched != nil }

  /// To be called before a record is changed.
  @inline(__always)
  func note(_ id: BlockID, _ records: UnsafeMutablePointer<BlockRecord>) {
    if notesBlocks { record(id, records) }
  }

  @inline(never)
  private func record(_ id: BlockID, _ records: UnsafeMutablePointer<BlockRecord>) {
    if let touched { touched[Int(id >> 6)] |= 1 &<< UInt64(id & 63) }
    if isRecording { blocks.append(.init(id: id, record: records[Int(id)])) }
  }

  /// Memory that a list keeps from one command to the next. A dry run over a huge pool takes more.
  static let keptBytes = 1 << 20

  /// Frees the memory that the chosen outcome has no use for and forgets everything.
  func clear(keepingNew: Bool) {
    for saved in memory.elements where saved.isNew != keepingNew { saved.memory.deallocate() }
    blocks.removeAll(keepingAtMost: Self.keptBytes)
    contents.removeAll(keepingAtMost: Self.keptBytes)
    chains.removeAll(keepingAtMost: Self.keptBytes)
    chainHashes.removeAll(keepingAtMost: Self.keptBytes)
    chainTokens.removeAll(keepingAtMost: Self.keptBytes)
    slots.removeAll(keepingAtMost: Self.keptBytes)
    tableEntries.removeAll(keepingAtMost: Self.keptBytes)
    words.removeAll(keepingAtMost: Self.keptBytes)
    pins.removeAll(keepingAtMost: Self.keptBytes)
    pinLinks.removeAll(keepingAtMost: Self.keptBytes)
    sessions.removeAll(keepingAtMost: Self.keptBytes)
    copies.removeAll(keepingAtMost: Self.keptBytes)
    mapEntries.removeAll(keepingAtMost: Self.keptBytes)
    memory.removeAll(keepingAtMost: Self.keptBytes)
  }

  /// Bytes that the lists have.
  var memoryBytes: Int {
    let blockBytes = blocks.memory + contents.memory + slots.memory + tableEntries.memory
    let chainBytes = chains.memory + chainHashes.memory + chainTokens.memory
    let pinBytes = pins.memory + pinLinks.memory
    return blockBytes + chainBytes + pinBytes + words.memory + sessions.memory + copies.memory
      + mapEntries.memory + memory.memory
  }

  /// Memory that replaces other memory, or starts to be used: undone, it goes.
  func created(_ new: UnsafeMutableRawPointer) {
    if isRecording { memory.append(SavedMemory(memory: new, isNew: true)) }
  }

  /// Memory no longer used: freed now, or when the command stands.
  func retire(_ old: UnsafeMutableRawPointer?) {
    guard let old else { return }
    if isRecording {
      memory.append(SavedMemory(memory: old, isNew: false))
    } else {
      old.deallocate()
    }
  }
}
