internal import CQuireProtos

/// The memory of one decoded message: a bump allocator that protobuf-c unpacks into.
///
/// One slab is reused from message to message, so that decoding costs a pointer addition per part and
/// no call to the heap. Memory is 16-aligned; freeing is a no-op; `reset` takes everything back, and
/// with it every view of the message before.
///
/// protobuf-c needs far more memory than the bytes it reads when these are hostile (about 46 times
/// for one-byte unknown fields), so a budget caps each message: over it the allocation fails, which
/// protobuf-c reports as a failed unpack.
package final class MessageArena {
  /// What a message of `byteCount` bytes may take up once decoded.
  package func budget(byteCount: Int) -> Int { byteCount * growth + 65_536 }

  private struct State {
    var cursor: UnsafeMutableRawPointer
    var end: UnsafeMutableRawPointer
    var budget = 0
    var used = 0
    var isExhausted = false
    /// Chunks beyond the slab, newest first; each begins with the address of the next.
    var overflow: UnsafeMutableRawPointer?
  }

  private static let alignment = 16
  private static let chunkBytes = 256 * 1024
  /// A slab that grew for one large message stays; one that would be larger than this does not.
  private static let largestSlab = 4 * 1024 * 1024

  /// Bytes of memory allowed per byte of message.
  private let growth: Int
  private var slab: UnsafeMutableRawPointer
  private var slabBytes: Int
  private let state: UnsafeMutablePointer<State>
  private let allocator: UnsafeMutablePointer<ProtobufCAllocator>

  package init(slabBytes: Int = 64 * 1024, growth: Int = 64) {
    precondition(slabBytes > 0 && slabBytes % Self.alignment == 0, "a slab is whole alignments")
    self.slabBytes = slabBytes
    self.growth = growth
    slab = .allocate(byteCount: slabBytes, alignment: Self.alignment)
    state = .allocate(capacity: 1)
    state.initialize(to: State(cursor: slab, end: slab + slabBytes))
    allocator = .allocate(capacity: 1)
    allocator.initialize(
      to: ProtobufCAllocator(
        alloc: { state, size in MessageArena.allocate(state!, byteCount: size) },
        free: { _, _ in },
        allocator_data: state))
  }

  deinit {
    releaseOverflow()
    slab.deallocate()
    state.deallocate()
    allocator.deallocate()
  }

  /// Bytes handed out since the last reset.
  package var usedBytes: Int { state.pointee.used }
  /// Whether an allocation failed for want of budget since the last reset.
  package var isExhausted: Bool { state.pointee.isExhausted }

  /// Takes back all memory and allows the next message its budget.
  package func reset(forMessageOf byteCount: Int) {
    if state.pointee.overflow != nil {
      releaseOverflow()
      growSlab(toHold: state.pointee.used)
    }
    state.pointee = State(cursor: slab, end: slab + slabBytes, budget: budget(byteCount: byteCount))
  }

  /// Unpacks `bytes` as the message that `descriptor` describes; nil when they are no such message
  /// or need more than the budget.
  func unpack(
    _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>, from bytes: UnsafeRawBufferPointer
  ) -> UnsafeRawPointer? {
    // protobuf-c wants an address even of no bytes.
    let data = bytes.baseAddress ?? UnsafeRawPointer(slab)
    return UnsafeRawPointer(
      protobuf_c_message_unpack(
        descriptor, allocator, bytes.count, data.assumingMemoryBound(to: UInt8.self)))
  }

  private static func allocate(
    _ address: UnsafeMutableRawPointer, byteCount: Int
  ) -> UnsafeMutableRawPointer? {
    let state = address.assumingMemoryBound(to: State.self)
    // Compared before rounding up, which could overflow.
    guard byteCount <= state.pointee.budget - state.pointee.used else {
      state.pointee.isExhausted = true
      return nil
    }
    let rounded = (max(byteCount, 1) + alignment - 1) & ~(alignment - 1)
    state.pointee.used += rounded
    if rounded > state.pointee.end - state.pointee.cursor { addChunk(state, holding: rounded) }
    let memory = state.pointee.cursor
    state.pointee.cursor = memory + rounded
    return memory
  }

  private static func addChunk(_ state: UnsafeMutablePointer<State>, holding byteCount: Int) {
    let bytes = max(byteCount, chunkBytes) + alignment
    let chunk = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: alignment)
    chunk.storeBytes(of: state.pointee.overflow, as: UnsafeMutableRawPointer?.self)
    state.pointee.overflow = chunk
    state.pointee.cursor = chunk + alignment
    state.pointee.end = chunk + bytes
  }

  private func releaseOverflow() {
    var next = state.pointee.overflow
    while let chunk = next {
      next = chunk.load(as: UnsafeMutableRawPointer?.self)
      chunk.deallocate()
    }
    state.pointee.overflow = nil
  }

  private func growSlab(toHold byteCount: Int) {
    var bytes = slabBytes
    while bytes < byteCount && bytes < Self.largestSlab { bytes *= 2 }
    guard bytes > slabBytes else { return }
    slab.deallocate()
    slab = .allocate(byteCount: bytes, alignment: Self.alignment)
    slabBytes = bytes
  }
}
