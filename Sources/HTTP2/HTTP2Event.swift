/// Something that happened to a session or to one of its streams. Trivially copyable; what it points
/// to is valid while the event is being handled.
public struct HTTP2Event {
  public enum Kind: UInt8 {
    /// A request (server) or the final response (client) begins: `fields`, `status`, `endsStream`,
    /// `fieldsTooLarge`.
    case headers
    /// A second block of fields; always ends the stream in practice: `fields`, `endsStream`.
    case trailers
    /// `data`, `endsStream`. Give the bytes back with `consume` once they are dealt with.
    case data
    /// The peer ended its side with nothing else to say.
    case ended
    /// The stream is over: `errorCode`. The last event of a stream.
    case closed
    /// The stream's queued output fell to the low-water mark after `notifyWhenDrained`.
    case drained
    /// The peer's first or a later SETTINGS.
    case settings
    /// The peer has taken up our SETTINGS.
    case settingsAcknowledged
    /// The peer answered the ping with `opaque`.
    case pingAcknowledged
    /// The peer sent a ping; it has been answered.
    case ping
    /// The peer will not take streams above `lastStreamID`: `errorCode`.
    case goAway
  }

  public let kind: Kind
  public var endsStream = false
  public var fieldsTooLarge = false
  public var errorCode = HTTP2ErrorCode.noError
  /// The ping's payload, the last stream id, or of a block of fields the `:status` (client) or the
  /// expected fields (server).
  var value: UInt64 = 0
  private let slot: UnsafeMutablePointer<StreamSlot>?
  private var base: UnsafeRawPointer?
  private var first = 0
  private var last = 0

  init(_ kind: Kind, _ slot: UnsafeMutablePointer<StreamSlot>?) {
    self.kind = kind
    self.slot = slot
  }

  init(data base: UnsafeRawPointer, _ count: Int, _ slot: UnsafeMutablePointer<StreamSlot>) {
    kind = .data
    self.slot = slot
    self.base = base
    last = count
  }

  init(_ kind: Kind, _ slot: UnsafeMutablePointer<StreamSlot>, fieldsFrom first: Int, to last: Int)
  {
    self.kind = kind
    self.slot = slot
    self.first = first
    self.last = last
  }

  /// The stream it is about. Only for the kinds that have one.
  public var stream: HTTP2StreamRef { HTTP2StreamRef(slot.unsafelyUnwrapped) }
  var slotOrNil: UnsafeMutablePointer<StreamSlot>? { slot }
  public var hasStream: Bool { slot != nil }
  public var data: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: last) }
  public var fields: HTTP2Fields {
    HTTP2Fields(slot: slot.unsafelyUnwrapped, start: first, end: last)
  }
  /// The response's status, e.g. 200; 0 on a server.
  public var status: Int { Int(truncatingIfNeeded: value) }
  /// The stream's fields that were expected, by `HTTP2Options.expectedFields`; on a server.
  public var expected: UInt32 { UInt32(truncatingIfNeeded: value) }
  /// The request's `:path`; empty when it has none. On a server.
  public var path: UnsafeRawBufferPointer {
    let slot = slot.unsafelyUnwrapped
    if slot.pointee.pathStart < 0 { return UnsafeRawBufferPointer(start: nil, count: 0) }
    var field = HTTP2Fields(
      slot: slot, start: slot.pointee.pathStart, end: slot.pointee.fields.count)
    return field.next().unsafelyUnwrapped.value
  }
  public var opaque: UInt64 { value }
  public var lastStreamID: Int32 { Int32(truncatingIfNeeded: value) }
}

/// A reusable list of events.
struct EventList {
  private(set) var base: UnsafeMutablePointer<HTTP2Event>
  private(set) var count = 0
  private var capacity: Int

  init() {
    capacity = 256
    base = .allocate(capacity: capacity)
  }

  @inline(__always)
  mutating func append(_ event: HTTP2Event) {
    if count == capacity { grow() }
    (base + count).initialize(to: event)
    count += 1
  }

  @inline(never)
  private mutating func grow() {
    let larger = UnsafeMutablePointer<HTTP2Event>.allocate(capacity: capacity * 2)
    larger.moveInitialize(from: base, count: count)
    base.deallocate()
    base = larger
    capacity *= 2
  }

  /// Nothing, or next to nothing, and of no stream.
  @inline(__always)
  var isOfNoStream: Bool {
    count == 0 || (count <= 2 && !base[0].hasStream && !base[count - 1].hasStream)
  }

  mutating func removeAll() { count = 0 }
  func free() { base.deallocate() }
}
