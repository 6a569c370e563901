import BlockMessages
import Testing

/// What is written forwards is read back by protobuf-c.
@Suite("events as they are written")
struct EventWritingTests {
  /// The bytes of a batch with these events behind its header.
  private func batch(_ events: [[UInt8]]) throws -> KvEventBatchMessage {
    var bytes: [UInt8] = Array("p".utf8).withUnsafeBufferPointer { name in
      let header = EventBatchHeader(epoch: 1 << 63, pool: name)
      return self.bytes(header.mostBytes) {
        header.write(sequenceNumber: .max, revision: 300, seconds: 1.5, to: $0)
      }
    }
    bytes += events.joined()
    return try bytes.withUnsafeBytes { try decoder.decode(KvEventBatchMessage.self, from: $0) }
  }

  private let decoder = MessageDecoder()

  private func bytes(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { room, filled in
      filled = write(UnsafeMutableRawPointer(room.baseAddress.unsafelyUnwrapped))
    }
  }

  /// Hash `i` has bytes `i`, `i + 1` and so on.
  private func hash(_ i: Int, _ count: Int = 32) -> [UInt8] {
    (i..<i + count).map { UInt8(truncatingIfNeeded: $0) }
  }

  private func stored(
    _ hashes: [[UInt8]], parent: [UInt8]? = nil, tokens: [UInt32] = [], ids: [UInt32],
    blockSize: UInt32 = 16, lora: String = "", session: UInt64 = 0, sizeClass: UInt32 = 0,
    hashBytes: Int = 32
  ) -> [UInt8] {
    // A record is wider than its hash.
    let records: [UInt8] = hashes.flatMap { $0 + [0xEE, 0xEE, 0xEE] }
    var lora = lora
    return lora.withUTF8 { lora in
      records.withUnsafeBytes { records in
        tokens.withUnsafeBufferPointer { tokens in
          ids.withUnsafeBufferPointer { ids in
            (parent ?? [0]).withUnsafeBytes { before in
              let event = StoredEvent(
                hashes: HashColumn(
                  records.baseAddress, count: hashes.count, stride: hashBytes + 3,
                  hashBytes: hashBytes),
                parent: parent == nil ? nil : before.baseAddress, tokenIDs: tokens,
                blockSize: blockSize, blockIDs: ids, loraName: UnsafeRawBufferPointer(lora),
                session: session, sizeClass: sizeClass)
              return bytes(event.byteCount) {
                event.write(to: $0)
                return event.byteCount
              }
            }
          }
        }
      }
    }
  }

  private func removed(
    _ kind: EventKind, _ hashes: [[UInt8]], ids: [UInt32], copies: [UInt32] = [],
    cause: EventCause, sizeClass: UInt32 = 0, hashBytes: Int = 32
  ) -> [UInt8] {
    hashes.flatMap { $0 }.withUnsafeBytes { records in
      ids.withUnsafeBufferPointer { ids in
        copies.withUnsafeBufferPointer { copies in
          let event = RemovedEvent(
            kind,
            hashes: HashColumn(
              records.baseAddress, count: hashes.count, stride: hashBytes, hashBytes: hashBytes),
            blockIDs: ids, remainingCopies: copies, cause: cause, sizeClass: sizeClass)
          return bytes(event.byteCount) {
            event.write(to: $0)
            return event.byteCount
          }
        }
      }
    }
  }

  @Test("a header has its number, epoch, pool, revision and time")
  func header() throws {
    let batch = try batch([])
    #expect(batch.sequenceNumber == .max && batch.epoch == 1 << 63 && batch.revision == 300)
    #expect(Array(batch.pool) == Array("p".utf8) && batch.seconds == 1.5 && batch.eventCount == 0)
  }

  @Test("a stored event has each of its fields, and lengths of more than one byte")
  func allOfStored() throws {
    let hashes = (0..<40).map { hash($0) }
    let ids = (0..<40).map { UInt32(1) << UInt32($0 % 32) }
    let tokens = (0..<640).map { UInt32($0) &* 0x0101_0101 }
    let event = stored(
      hashes, parent: hash(200), tokens: tokens, ids: ids, lora: "näh", session: .max,
      sizeClass: 300)
    guard case .stored(let fields) = try batch([event]).event(0) else {
      Issue.record("not a stored event")
      return
    }
    #expect(fields.hashes == hashes.flatMap { $0 } && fields.parentHash == hash(200))
    #expect(fields.tokenIDs == tokens && fields.blockSize == 16 && fields.blockIDs == ids)
    #expect(fields.loraName == "näh" && fields.session == .max && fields.sizeClass == 300)
  }

  @Test("a removed event has each of its fields, and none where it is empty")
  func allOfRemoved() throws {
    let batch = try batch([
      removed(
        .copiesRemoved, [hash(1), hash(2)], ids: [1, 1 << 31], copies: [127, 128], cause: .ahead,
        sizeClass: 2),
      removed(.removed, [hash(3)], ids: [7], cause: .unspecified),
    ])
    guard case .copiesRemoved(let copies) = batch.event(0), case .removed(let last) = batch.event(1)
    else {
      Issue.record("other events")
      return
    }
    #expect(copies.hashes == hash(1) + hash(2) && copies.blockIDs == [1, 1 << 31])
    #expect(
      copies.remainingCopies == [127, 128] && copies.cause == .ahead && copies.sizeClass == 2)
    #expect(last.hashes == hash(3) && last.blockIDs == [7] && last.remainingCopies == [])
    #expect(last.cause == .unspecified && last.sizeClass == 0)
  }

  @Test(
    "events about one block are the bytes of others",
    arguments: [1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 28, .max] as [UInt32])
  func ofOneBlock(id: UInt32) {
    for hashBytes in [16, 32] {
      let plain = OneBlockEvents(hashBytes: hashBytes)
      for (parent, blockSize, session): (Int?, UInt32, UInt64) in [
        (nil, 1, 0), (9, 16, 0), (9, .max, .max), (nil, 256, 1),
      ] {
        let before = parent.map { hash($0, hashBytes) }
        let short = hash(5, hashBytes).withUnsafeBytes { hash in
          (before ?? [0]).withUnsafeBytes { before in
            bytes(OneBlockEvents.mostBytes) {
              plain.writeStored(
                hash: hash.baseAddress.unsafelyUnwrapped,
                parent: parent == nil ? nil : before.baseAddress, blockSize: blockSize, blockID: id,
                session: session, to: $0)
            }
          }
        }
        #expect(
          short
            == stored(
              [hash(5, hashBytes)], parent: before, ids: [id], blockSize: blockSize,
              session: session, hashBytes: hashBytes))
      }
    }
    for hashBytes in [16, 32] {
      let short = hash(6, hashBytes).withUnsafeBytes { hash in
        bytes(OneBlockEvents.mostBytes) {
          OneBlockEvents(hashBytes: hashBytes).writeRemoved(
            hash: hash.baseAddress.unsafelyUnwrapped, blockID: id, cause: .rewind, to: $0)
        }
      }
      #expect(
        short
          == removed(
            .removed, [hash(6, hashBytes)], ids: [id], cause: .rewind, hashBytes: hashBytes))
    }
  }
}
