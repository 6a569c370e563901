// What an event stream is made of for the most part, written forwards: a step of a scheduler stores and removes
// some twenty blocks, and tells so in as many events.

/// Hashes as they lie in somebody's records: the first `hashBytes` of each, `stride` bytes apart. Borrows them.
package struct HashColumn {
  let first: UnsafeRawPointer?
  let count: Int
  let stride: Int
  let hashBytes: Int

  package init(_ first: UnsafeRawPointer?, count: Int, stride: Int, hashBytes: Int) {
    precondition(hashBytes == 32 || hashBytes == 16, "a hash of neither length")
    self.first = first
    self.count = count
    self.stride = stride
    self.hashBytes = hashBytes
  }

  var byteCount: Int { count &* hashBytes }

  @inline(__always)
  func write(_ field: UInt8, to writer: inout ForwardWriter) {
    guard let first, count > 0 else { return }
    writer.prefix(field, byteCount)
    for i in 0..<count { writer.hash(first + i &* stride, hashBytes) }
  }
}

extension ForwardWriter {
  /// The beginning of an event of this kind, as the field `events` of its batch.
  @inline(__always)
  fileprivate mutating func event(_ kind: EventKind, _ content: EventLength) {
    prefix(UInt8(MessagePacker.eventsField), content.event)
    prefix(UInt8(kind.rawValue), content.fields)
  }
}

/// What an event takes.
private struct EventLength {
  /// Of its fields.
  let fields: Int
  /// With the prefix of its kind.
  let event: Int

  init(fields: Int) {
    self.fields = fields
    event = 1 &+ ForwardWriter.byteCount(ofVarint: UInt64(fields)) &+ fields
  }

  /// With the prefix of the field of its batch.
  var whole: Int { 1 &+ ForwardWriter.byteCount(ofVarint: UInt64(event)) &+ event }
}

/// A `BlockStored` as an event of its batch. Borrows what it points to.
package struct StoredEvent {
  private let hashes: HashColumn
  /// As long as the others; nil at the start of a chain.
  private let parent: UnsafeRawPointer?
  private let tokenIDs: UnsafeRawBufferPointer
  private let blockSize: UInt32
  private let blockIDs: UnsafeBufferPointer<UInt32>
  private let loraName: UnsafeRawBufferPointer
  private let session: UInt64
  private let sizeClass: UInt32
  private let idBytes: Int
  private let length: EventLength

  /// `parent`: of `hashBytes` of `hashes`; nil at the start of a chain. `loraName`: UTF-8.
  package init(
    hashes: HashColumn, parent: UnsafeRawPointer?, tokenIDs: UnsafeBufferPointer<UInt32>,
    blockSize: UInt32, blockIDs: UnsafeBufferPointer<UInt32>, loraName: UnsafeRawBufferPointer,
    session: UInt64, sizeClass: UInt32
  ) {
    self.hashes = hashes
    self.parent = parent
    self.tokenIDs = UnsafeRawBufferPointer(tokenIDs)
    self.blockSize = blockSize
    self.blockIDs = blockIDs
    self.loraName = loraName
    self.session = session
    self.sizeClass = sizeClass
    idBytes = ForwardWriter.byteCount(ofPacked: blockIDs)
    var fields = ForwardWriter.byteCount(ofField: hashes.byteCount)
    if parent != nil { fields &+= 2 &+ hashes.hashBytes }
    fields &+= ForwardWriter.byteCount(ofField: self.tokenIDs.count)
    fields &+= ForwardWriter.byteCount(ofNumber: UInt64(blockSize))
    fields &+= ForwardWriter.byteCount(ofField: idBytes)
    fields &+= ForwardWriter.byteCount(ofField: loraName.count)
    fields &+= session == 0 ? 0 : 9
    fields &+= ForwardWriter.byteCount(ofNumber: UInt64(sizeClass))
    length = EventLength(fields: fields)
  }

  package var byteCount: Int { length.whole }

  /// Fills `byteCount` bytes.
  package func write(to place: UnsafeMutableRawPointer) {
    var writer = ForwardWriter(at: place)
    writer.event(.stored, length)
    hashes.write(1, to: &writer)
    if let parent {
      writer.prefix(2, hashes.hashBytes)
      writer.hash(parent, hashes.hashBytes)
    }
    #if _endian(little)
      writer.bytes(3, tokenIDs)
    #else
      #error("packed fixed-width numbers are copied as they lie in memory")
    #endif
    writer.number(4, UInt64(blockSize))
    writer.packed(5, blockIDs, byteCount: idBytes)
    writer.bytes(6, loraName)
    writer.fixed64(9, session)
    writer.number(10, UInt64(sizeClass))
    assert(writer.place == place + byteCount, "an event of another length than it said")
  }
}

/// A `BlockRemoved` as an event of its batch: `removed`, or `copies_removed` with the copies that are left.
/// Borrows what it points to.
package struct RemovedEvent {
  private let kind: EventKind
  private let hashes: HashColumn
  private let blockIDs: UnsafeBufferPointer<UInt32>
  private let remainingCopies: UnsafeBufferPointer<UInt32>
  private let cause: EventCause
  private let sizeClass: UInt32
  private let idBytes: Int
  private let copyBytes: Int
  private let length: EventLength

  package init(
    _ kind: EventKind, hashes: HashColumn, blockIDs: UnsafeBufferPointer<UInt32>,
    remainingCopies: UnsafeBufferPointer<UInt32>, cause: EventCause, sizeClass: UInt32
  ) {
    self.kind = kind
    self.hashes = hashes
    self.blockIDs = blockIDs
    self.remainingCopies = remainingCopies
    self.cause = cause
    self.sizeClass = sizeClass
    idBytes = ForwardWriter.byteCount(ofPacked: blockIDs)
    copyBytes = ForwardWriter.byteCount(ofPacked: remainingCopies)
    length = EventLength(
      fields: ForwardWriter.byteCount(ofField: hashes.byteCount)
        &+ ForwardWriter.byteCount(ofField: idBytes) &+ ForwardWriter.byteCount(ofField: copyBytes)
        &+ ForwardWriter.byteCount(ofNumber: UInt64(cause.rawValue))
        &+ ForwardWriter.byteCount(ofNumber: UInt64(sizeClass)))
  }

  package var byteCount: Int { length.whole }

  /// Fills `byteCount` bytes.
  package func write(to place: UnsafeMutableRawPointer) {
    var writer = ForwardWriter(at: place)
    writer.event(kind, length)
    hashes.write(1, to: &writer)
    writer.packed(2, blockIDs, byteCount: idBytes)
    writer.packed(3, remainingCopies, byteCount: copyBytes)
    writer.number(6, UInt64(cause.rawValue))
    writer.number(7, UInt64(sizeClass))
    assert(writer.place == place + byteCount, "an event of another length than it said")
  }
}

/// What stands before the events of a `KvEventBatch`, of one pool and epoch: most of it is the same in all.
package struct EventBatchHeader: ~Copyable {
  /// The fields `epoch` and `pool`.
  private let same: UnsafeMutableRawBufferPointer

  package init(epoch: UInt64, pool: UnsafeBufferPointer<UInt8>) {
    same = .allocate(
      byteCount: ForwardWriter.byteCount(ofNumber: epoch)
        + ForwardWriter.byteCount(ofField: pool.count), alignment: 1)
    guard let base = same.baseAddress else { return }
    var writer = ForwardWriter(at: base)
    writer.number(2, epoch)
    writer.bytes(3, UnsafeRawBufferPointer(pool))
  }

  deinit { same.deallocate() }

  /// What `write` takes at most.
  package var mostBytes: Int { 11 + same.count + 11 + 9 }

  /// Returns how many bytes it took. `seconds` since 1970.
  package func write(
    sequenceNumber: UInt64, revision: UInt64, seconds: Double,
    to place: UnsafeMutableRawPointer
  ) -> Int {
    var writer = ForwardWriter(at: place)
    writer.number(1, sequenceNumber)
    if let base = same.baseAddress { writer.raw(base, same.count) }
    writer.number(4, revision)
    writer.fixed64(5, seconds.bitPattern)
    return writer.place - place
  }
}
