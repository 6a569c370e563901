internal import CQuireProtos

/// Reads the requests that make up most calls, in the form that nearly every client sends them: each
/// field once, as its own type, with nothing unknown beside it.
///
/// protobuf-c looks at every field twice and zeroes and copies as it goes, which costs a short request
/// more than the allocation it asks for. What is not plain (a field twice, an unknown one, one that is
/// not served, text beyond ASCII, a number too wide) is left to protobuf-c, so the two never disagree on
/// what is a message; a test holds them against each other. The messages live here, one of each kind,
/// and are valid until the next is read.
struct PlainRequests {
  private let call: UnsafeMutablePointer<Quire__V1__Call>
  private let allocate: UnsafeMutablePointer<Quire__V1__Allocate>
  private let allocateRequest: UnsafeMutablePointer<Quire__V1__AllocateRequest>
  private let free: UnsafeMutablePointer<Quire__V1__FreeBlocks>
  private let freeRequest: UnsafeMutablePointer<Quire__V1__FreeRequest>
  /// Longer names are for protobuf-c, and for the check of the contract behind it.
  private let longestPoolName: Int

  init() {
    call = .allocate(capacity: 1)
    allocate = .allocate(capacity: 1)
    allocateRequest = .allocate(capacity: 1)
    free = .allocate(capacity: 1)
    freeRequest = .allocate(capacity: 1)
    quire__v1__call__init(call)
    quire__v1__allocate__init(allocate)
    quire__v1__allocate_request__init(allocateRequest)
    quire__v1__free_blocks__init(free)
    quire__v1__free_request__init(freeRequest)
    longestPoolName = ServedFields.text["quire.v1.Call.pool"] ?? 0
  }

  func deallocate() {
    call.deallocate()
    allocate.deallocate()
    allocateRequest.deallocate()
    free.deallocate()
    freeRequest.deallocate()
  }

  /// `AllocateRequest{1: call, 2: Allocate{1: count}}`; nil when it is not plain.
  @inline(__always)
  func allocateRequest(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer? {
    guard let (operation, call) = parts(bytes) else { return nil }
    var count: UInt32 = 0
    if let operation {
      var reader = PlainReader(operation)
      if !reader.isAtEnd {
        guard reader.byte() == 0x08, let value = reader.varint32(), reader.isAtEnd else {
          return nil
        }
        count = value
      }
    }
    allocate.pointee.count = count
    allocateRequest.pointee.call = call
    allocateRequest.pointee.allocate = operation == nil ? nil : allocate
    return UnsafeRawPointer(allocateRequest)
  }

  /// `FreeRequest{1: call, 2: FreeBlocks{1: packed block_ids}}`; nil when it is not plain. The ids lie in
  /// `room`, which has as many elements as the message has bytes.
  @inline(__always)
  func freeRequest(
    _ bytes: UnsafeRawBufferPointer, room: UnsafeMutablePointer<UInt32>
  ) -> UnsafeRawPointer? {
    guard let (operation, call) = parts(bytes) else { return nil }
    var count = 0
    if let operation {
      var reader = PlainReader(operation)
      if !reader.isAtEnd {
        guard reader.byte() == 0x0A, let length = reader.length(), length == reader.remaining else {
          return nil
        }
        while !reader.isAtEnd {
          guard let id = reader.varint32() else { return nil }
          room[count] = id
          count += 1
        }
      }
    }
    free.pointee.block_ids = room
    free.pointee.n_block_ids = count
    freeRequest.pointee.call = call
    freeRequest.pointee.free_blocks = operation == nil ? nil : free
    return UnsafeRawPointer(freeRequest)
  }

  /// A request of a call and an operation, each at most once and in this order.
  @inline(__always)
  private func parts(
    _ bytes: UnsafeRawBufferPointer
  ) -> (operation: UnsafeRawBufferPointer?, call: UnsafeMutablePointer<Quire__V1__Call>?)? {
    var reader = PlainReader(bytes)
    if reader.isAtEnd { return (nil, nil) }
    var named: UnsafeMutablePointer<Quire__V1__Call>?
    var key = reader.byte()
    if key == 0x0A {
      guard let body = reader.bytes(), fillCall(body) else { return nil }
      named = call
      if reader.isAtEnd { return (nil, named) }
      key = reader.byte()
    }
    guard key == 0x12, let operation = reader.bytes(), reader.isAtEnd else { return nil }
    return (operation, named)
  }

  @inline(never)
  private func fillCall(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var pool = ProtobufCBinaryData(len: 0, data: nil)
    var ifRevision: UInt64 = 0
    var isDryRun = false
    var now: UInt64 = 0
    var last: UInt8 = 0
    var reader = PlainReader(bytes)
    while !reader.isAtEnd {
      let key = reader.byte()
      // Ascending keys, as every encoder writes them: none twice.
      if key <= last { return false }
      last = key
      switch key {
      case 0x0A:
        guard let name = reader.bytes(), name.count <= longestPoolName,
          name.allSatisfy({ $0 > 0 && $0 < 0x80 })
        else { return false }
        pool = ProtobufCBinaryData(
          len: name.count,
          data: UnsafeMutablePointer(
            mutating: name.baseAddress?.assumingMemoryBound(to: UInt8.self)))
      case 0x28:
        guard let value = reader.varint64() else { return false }
        ifRevision = value
      case 0x30:
        guard let value = reader.varint64(), value <= 1 else { return false }
        isDryRun = value == 1
      case 0x38:
        guard let value = reader.varint64() else { return false }
        now = value
      default: return false
      }
    }
    call.pointee.pool = pool
    call.pointee.if_revision = ifRevision
    call.pointee.dry_run = isDryRun ? 1 : 0
    call.pointee.now_ms = now
    return true
  }
}

/// A cursor over bytes that are known to be there; nil wherever they would run out.
private struct PlainReader {
  private var next: UnsafeRawPointer
  private let end: UnsafeRawPointer

  @inline(__always)
  init(_ bytes: UnsafeRawBufferPointer) {
    // Of an empty buffer nothing is read, whatever its address.
    next = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 16).unsafelyUnwrapped
    end = next + bytes.count
  }

  var isAtEnd: Bool { next == end }
  var remaining: Int { end - next }

  /// Only where something is left.
  @inline(__always)
  mutating func byte() -> UInt8 {
    let value = next.load(as: UInt8.self)
    next += 1
    return value
  }

  @inline(__always)
  mutating func varint32() -> UInt32? {
    if next < end, next.load(as: UInt8.self) < 0x80 { return UInt32(byte()) }
    guard let value = varint64(), value <= UInt64(UInt32.max) else { return nil }
    return UInt32(value)
  }

  /// Of at most nine bytes: a tenth is for negative numbers.
  @inline(__always)
  mutating func varint64() -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while next < end, shift < 63 {
      let byte = byte()
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
      shift += 7
    }
    return nil
  }

  /// Of at most five bytes, as protobuf-c has it.
  @inline(__always)
  mutating func length() -> Int? {
    let start = next
    guard let count = varint32(), next - start <= 5, Int(count) <= remaining else { return nil }
    return Int(count)
  }

  @inline(__always)
  mutating func bytes() -> UnsafeRawBufferPointer? {
    guard let count = length() else { return nil }
    defer { next += count }
    return UnsafeRawBufferPointer(start: next, count: count)
  }
}
