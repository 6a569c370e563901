/// Dumps of a pool, and pools out of dumps.
///
/// A dump is a head, the state (`writeState`), two things that go along and are no part of the state
/// (the history digest and the counts of refusals, which commands that change nothing move), its own
/// length and a checksum. `Dumps.md` has the bytes.
extension KVPool {
  /// The first bytes of every dump.
  private static let magic: StaticString = "quirepool"
  private static let version: UInt16 = 1
  /// Length and checksum.
  private static let trailerBytes = 16

  /// Replaces what is in `bytes` by a dump of the pool as it is.
  ///
  /// - Returns: The state digest.
  /// - Complexity: O(blocks + table entries + hashes).
  @discardableResult
  package func dump(into bytes: inout FlatList<UInt8>) -> UInt64 {
    let writer = StateWriter(keepsBytes: true)
    Self.writeHead(to: writer)
    writeState(to: writer)
    let digest = writer.value
    writer.section("PAST")
    writer.u64(history.value)
    for i in 0..<Self.refusalReasons { writer.u64(refusalCounts[i]) }
    writer.u64(UInt64(writer.bytes.count + Self.trailerBytes))
    var checksum = ByteDigest()
    checksum.add(UnsafeRawBufferPointer(writer.bytes.elements))
    writer.u64(checksum.value)
    bytes.removeAll()
    bytes.extend(by: writer.bytes.count).update(
      from: writer.bytes.base, count: writer.bytes.count)
    return digest
  }

  /// This pool, out of a dump, takes the place of another. Where the other was at a revision that
  /// this one has not reached yet, the revision goes on from there, and copy ids do: who knew the
  /// other must not mistake a new block or copy for an old one.
  package func goOn(after other: KVPool) {
    sessions.spendCopyIDs(through: other.sessions.lastCopyID)
    inheritDirty(from: other)
    inheritTouches(from: other)
    if other.revision == 0 || other.revision < revision { return }
    revision = other.revision + 1
    history.add(0, revision)
  }

  /// Writes the right checksum behind bytes that somebody changed. For tests.
  package static func seal(_ bytes: UnsafeMutableRawBufferPointer) {
    guard bytes.count >= trailerBytes else { return }
    var checksum = ByteDigest()
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)]))
    bytes.storeBytes(
      of: checksum.value.littleEndian, toByteOffset: bytes.count - 8, as: UInt64.self)
  }

  static func writeHead(to writer: StateWriter) {
    writer.raw(UnsafeBufferPointer(start: magic.utf8Start, count: magic.utf8CodeUnitCount))
    writer.u16(version)
  }

  // MARK: Reading

  /// The configuration of the pool that the dump is of, from bytes that are whole.
  ///
  /// - Throws: What is wrong with the head, the length, the checksum or the configuration. O(bytes).
  package static func configuration(
    inDump bytes: UnsafeRawBufferPointer
  ) throws(StateFailure) -> PoolConfiguration {
    var reader = try open(bytes)
    return try PoolConfiguration(from: &reader)
  }

  /// The pool that the dump was made of: from here on it gives the same answers.
  ///
  /// Nothing in the bytes is trusted. The memory it takes is that of a pool of the dump's
  /// configuration, which can be much more than the bytes: check `configuration(inDump:)` before.
  /// `hasher` makes what `init` takes for that configuration.
  ///
  /// - Throws: What is wrong with the bytes.
  /// - Complexity: O(blocks + bytes).
  package convenience init(
    loading bytes: UnsafeRawBufferPointer, secret: MapSecret = MapSecret(),
    hasher: (PoolConfiguration) -> (any TokenHashing)? = { _ in nil }
  ) throws(StateFailure) {
    var reader = try Self.open(bytes)
    let configuration = try PoolConfiguration(from: &reader)
    self.init(configuration, secret: secret, hasher: hasher(configuration))
    try readState(from: &reader)
    let state = UnsafeRawBufferPointer(rebasing: bytes[..<reader.position])
    try reader.section("PAST")
    history = Digest(value: try reader.u64())
    for i in 0..<Self.refusalReasons { refusalCounts[i] = try reader.counter("refusals") }
    if reader.remaining != Self.trailerBytes {
      throw reader.failure("\(reader.remaining - Self.trailerBytes) bytes too many")
    }
    if let problem = checkInvariants() { throw StateFailure(.invalid, problem) }
    // There is one way to write a state. Whatever was read and not kept shows here, too.
    var digest = ByteDigest()
    digest.add(state)
    if digest.value != stateDigest() {
      throw StateFailure(.invalid, "the state is not written as a pool writes it")
    }
  }

  /// A reader behind the head of bytes that are as long as they say and have the right checksum.
  private static func open(_ bytes: UnsafeRawBufferPointer) throws(StateFailure) -> StateReader {
    let headBytes = magic.utf8CodeUnitCount + 2
    guard bytes.count >= headBytes else {
      throw StateFailure(.wrongLength, "\(bytes.count) bytes are too few for a dump")
    }
    for i in 0..<magic.utf8CodeUnitCount where bytes[i] != magic.utf8Start[i] {
      throw StateFailure(.notADump, "the bytes do not begin as a dump does")
    }
    var reader = StateReader(bytes)
    _ = try reader.raw(magic.utf8CodeUnitCount)
    let version = try reader.u16()
    guard version == Self.version else {
      throw StateFailure(
        .notADump, "the dump is of version \(version), this server reads version \(Self.version)")
    }
    let end = bytes.count - trailerBytes
    guard end >= headBytes else {
      throw StateFailure(.wrongLength, "the dump is cut off after \(bytes.count) bytes")
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: end, as: UInt64.self))
    var checksum = ByteDigest()
    checksum.add(UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - 8)]))
    let written = UInt64(
      littleEndian: bytes.loadUnaligned(fromByteOffset: end + 8, as: UInt64.self))
    guard checksum.value == written else {
      throw StateFailure(
        .wrongChecksum, "the \(bytes.count) bytes do not have their checksum: cut off or changed")
    }
    guard length == UInt64(bytes.count) else {
      throw StateFailure(.wrongLength, "the dump had \(length) bytes and has \(bytes.count)")
    }
    return reader
  }
}
