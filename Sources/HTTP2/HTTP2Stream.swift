/// What a session keeps for one open stream. Slots live in a pool and never move, so a pointer with
/// a generation stays safe to ask after the stream has closed.
struct StreamSlot {
  /// Counts the streams this slot has served; a reference with another number is stale.
  var generation: UInt32 = 0
  var id: Int32 = 0
  var session: UnsafeMutablePointer<SessionState>?
  /// The owner's own state for the stream.
  var user: UnsafeMutableRawPointer?

  /// Received fields, block after block: length of the name, of the value (`UInt32` each), name,
  /// value.
  var fields = RawBuffer()
  var fieldBlockStart = 0
  /// Where a request's `:path` is in `fields`; -1 = nowhere.
  var pathStart = -1
  var headerListBytes = 0
  var fieldsTooLarge = false
  /// A request's trailers are counted and not kept: there is nobody who wants them.
  var keepsNoFields = false
  /// Bits of the expected fields that came.
  var expected: UInt32 = 0
  /// The `:status` of the block under way; 0 = it has none.
  var status = 0

  /// Received bytes not yet given back to the windows.
  var unconsumed = 0
  /// The peer has ended its side: no more data will need window.
  var peerEnded = false

  var output = RawBuffer()
  /// Output bytes put into frames, of all the streams the slot has served. Wraps around.
  var framedBytes = 0
  /// No more output will be queued.
  var outputEnded = false
  /// Sent after the last queued byte; nil with `outputEnded` = the last DATA ends the stream.
  var trailers: Unmanaged<HTTP2FieldList>?
  /// nghttp2 found nothing to send and waits to be told of more.
  var isDeferred = false
  var wantsDrained = false
  /// To be reset once our end has been sent: the peer should stop sending.
  var awaitsReset = false
  /// Our RST_STREAM is on its way: it may be long before it can be sent.
  var wasReset = false

  var notes = HTTP2StreamNotes()
  /// The generation that `notes` are of.
  var notesGeneration: UInt32 = .max

  var previous: UnsafeMutablePointer<StreamSlot>?
  var next: UnsafeMutablePointer<StreamSlot>?

  /// Constant lists live as long as the context; others were retained by `finish`.
  @inline(__always)
  mutating func dropTrailers() {
    guard let list = trailers else { return }
    trailers = nil
    if !list._withUnsafeGuaranteedRef({ $0.isConstant }) { list.release() }
  }
}

/// Names a stream of a session, safely also after it has closed. Valid as long as the session's
/// context lives.
public struct HTTP2StreamRef: Equatable {
  let slot: UnsafeMutablePointer<StreamSlot>
  let generation: UInt32

  @inline(__always)
  init(_ slot: UnsafeMutablePointer<StreamSlot>) {
    self.slot = slot
    generation = slot.pointee.generation
  }

  /// False once the stream's `closed` event has been handled.
  public var isOpen: Bool { slot.pointee.generation == generation }

  /// The stream's number; 0 when it is closed.
  public var id: Int32 { isOpen ? slot.pointee.id : 0 }

  /// The owner's own state for the stream; nil when it is closed.
  public var user: UnsafeMutableRawPointer? {
    get { isOpen ? slot.pointee.user : nil }
    nonmutating set { if isOpen { slot.pointee.user = newValue } }
  }

  /// Output bytes accepted and not yet framed.
  public var queuedBytes: Int { isOpen ? slot.pointee.output.count : 0 }

  /// Output bytes put into frames since some time: only the difference of two is of use.
  public var framedBytes: Int { slot.pointee.framedBytes }

  /// The stream's header block has come only in part, or nobody has answered or reset it.
  public var isUnanswered: Bool {
    isOpen && slot.pointee.user == nil && !slot.pointee.outputEnded && !slot.pointee.awaitsReset
      && !slot.pointee.wasReset
  }

  /// Whatever the owner notes of the stream from time to time; 0 for a stream that is new.
  ///
  /// Kept with the generation it is of, so that a stream that nobody takes notes of costs nothing.
  package var notes: HTTP2StreamNotes {
    get {
      slot.pointee.notesGeneration == generation ? slot.pointee.notes : HTTP2StreamNotes()
    }
    nonmutating set {
      slot.pointee.notes = newValue
      slot.pointee.notesGeneration = generation
    }
  }

  /// The peer has ended its side.
  public var peerEnded: Bool { isOpen ? slot.pointee.peerEnded : true }

  /// Frees the memory of the fields received: a stream whose answer waits for window may be open for
  /// long. Whoever has a view of them must not look at it again.
  public func dropFields() {
    guard isOpen else { return }
    slot.pointee.fields.free()
    slot.pointee.fieldBlockStart = 0
    slot.pointee.pathStart = -1
  }

  /// The fields of the first block received: a request's headers.
  public var firstFields: HTTP2Fields {
    isOpen
      ? HTTP2Fields(slot: slot, start: 0, end: slot.pointee.fields.count)
      : HTTP2Fields(slot: slot, start: 0, end: 0)
  }
}

/// A view of received fields, in order. Valid until the stream's `closed` event has been handled.
public struct HTTP2Fields: Sequence, IteratorProtocol {
  public typealias Bytes = UnsafeRawBufferPointer
  let slot: UnsafeMutablePointer<StreamSlot>
  var start: Int
  let end: Int

  /// What the rest of them take in memory.
  public var byteCount: Int { end - start }

  @inline(__always)
  public mutating func next() -> (name: Bytes, value: Bytes)? {
    if start >= end { return nil }
    let base = UnsafeRawPointer(slot.pointee.fields.base.unsafelyUnwrapped) + start
    let name = Int(base.loadUnaligned(as: UInt32.self))
    let value = Int(base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    start += 8 + name + value
    return (Bytes(start: base + 8, count: name), Bytes(start: base + 8 + name, count: value))
  }
}

/// The free slots of all sessions of a context.
struct StreamPool {
  private var free: UnsafeMutablePointer<StreamSlot>?
  private(set) var inUse = 0
  private var freeCount = 0
  /// Memory a slot keeps in each of its buffers while nobody uses it.
  private static let keptBytes = 4_096
  /// Free slots beyond these keep none: a burst of streams gives back what it took. The slots
  /// themselves stay, as references may still ask them.
  private static let slotsWithMemory = 4_096

  /// Bytes of memory that the free slots keep in their buffers.
  var keptBytes: Int {
    var total = 0
    var next = free
    while let slot = next {
      total += slot.pointee.fields.capacity + slot.pointee.output.capacity
      next = slot.pointee.next
    }
    return total
  }

  mutating func take() -> UnsafeMutablePointer<StreamSlot> {
    inUse += 1
    if let slot = free {
      freeCount -= 1
      free = slot.pointee.next
      slot.pointee.next = nil
      return slot
    }
    let slot = UnsafeMutablePointer<StreamSlot>.allocate(capacity: 1)
    slot.initialize(to: StreamSlot())
    return slot
  }

  mutating func give(_ slot: UnsafeMutablePointer<StreamSlot>) {
    inUse -= 1
    let kept = freeCount < StreamPool.slotsWithMemory ? StreamPool.keptBytes : 0
    freeCount += 1
    slot.pointee.generation &+= 1
    slot.pointee.user = nil
    slot.pointee.fields.removeAll(keeping: kept)
    slot.pointee.fieldBlockStart = 0
    slot.pointee.pathStart = -1
    slot.pointee.headerListBytes = 0
    slot.pointee.fieldsTooLarge = false
    slot.pointee.keepsNoFields = false
    slot.pointee.expected = 0
    slot.pointee.status = 0
    slot.pointee.unconsumed = 0
    slot.pointee.peerEnded = false
    slot.pointee.output.removeAll(keeping: kept)
    slot.pointee.outputEnded = false
    slot.pointee.dropTrailers()
    slot.pointee.isDeferred = false
    slot.pointee.wantsDrained = false
    slot.pointee.awaitsReset = false
    slot.pointee.wasReset = false
    slot.pointee.session = nil
    slot.pointee.previous = nil
    slot.pointee.next = free
    free = slot
  }

  mutating func drain() {
    while let slot = free {
      free = slot.pointee.next
      slot.pointee.fields.free()
      slot.pointee.output.free()
      slot.deallocate()
    }
  }
}
