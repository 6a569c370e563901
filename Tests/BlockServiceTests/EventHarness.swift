import BlockMessages
import BlockService
import GRPCWire
import KVBlocks
import Testing

/// What a batch says, as a test writes it down.
struct Batch: Equatable {
  var number: UInt64
  var epoch: UInt64
  var revision: UInt64
  var events: [KvEventFields]
}

/// What a dump of a state says.
struct Picture {
  var revision: UInt64 = 0
  var next: UInt64 = 0
  var epoch: UInt64 = 0
  var digest: UInt64?
  var chunks = 0
  var sequences = 0
  var blocks: [DumpedBlockFields] = []
}

/// One subscriber of a service, and its transport.
final class Subscriber {
  let responses = RecordedStream()
  private let stream: any RequestStream
  private let harness: ServiceHarness
  private var read = 0

  init(
    _ harness: ServiceHarness, start: UInt64? = nil, epoch: UInt64 = 0, all: Bool = false,
    tokens: Bool = false, call: CallFields = CallFields()
  ) {
    self.harness = harness
    stream = harness.stream("Events/SubscribeKvEvents", responses)
    let request = harness.packed {
      $0.subscribeKvEventsRequest(
        call: call, start: start, epoch: epoch, withForksAndCopies: all, withTokenIDs: tokens)
    }
    request.withUnsafeBytes { stream.received($0) }
    stream.halfClosed()
  }

  /// The batches that came since the last look; what waits to be sent is sent first.
  func take() throws -> [Batch] {
    harness.service.events.pump()
    defer { read = responses.messages.count }
    return try responses.messages[read...].map { bytes in
      let batch = try harness.decode(KvEventBatchMessage.self, bytes)
      return Batch(
        number: batch.sequenceNumber, epoch: batch.epoch, revision: batch.revision,
        events: (0..<batch.eventCount).compactMap { batch.event($0) })
    }
  }

  /// Only the events.
  func events() throws -> [KvEventFields] { try take().flatMap(\.events) }

  func drain() { stream.drained() }
  func cancel() { stream.cancelled(Status(.cancelled)) }
}

extension ServiceHarness {
  func dump(tokens: Bool = false, parents: Bool = false) throws -> Picture {
    let responses = RecordedStream()
    let stream = stream("Events/DumpState", responses)
    let request = packed {
      $0.dumpStateRequest(
        withTokenIDs: tokens, withParentHashes: parents, withStateDigest: true)
    }
    request.withUnsafeBytes { stream.received($0) }
    stream.halfClosed()
    #expect(responses.status == .ok)
    var picture = Picture()
    for bytes in responses.messages {
      let chunk = try decode(StateChunkMessage.self, bytes)
      #expect(chunk.hasPool == (picture.chunks == 0))
      #expect(picture.digest == nil, "something came behind the end")
      picture.chunks += 1
      picture.revision = chunk.revision
      picture.next = chunk.nextSequenceNumber
      picture.epoch = chunk.epoch
      picture.digest = chunk.stateDigest
      picture.sequences += chunk.sequenceCount
      for index in 0..<chunk.blockCount { picture.blocks.append(chunk.block(index)) }
    }
    #expect(picture.digest == pool.stateDigest())
    return picture
  }

  /// Loads the pool's own dump in its place.
  func reload() {
    var data = FlatList<UInt8>(minimumCapacity: 1)
    pool.dump(into: &data)
    let responses = RecordedStream()
    let stream = stream("Pools/LoadPool", responses)
    let request = packed {
      $0.bytes(4, UnsafeRawBufferPointer(data.elements))
      $0.uint32(3, IfExists.reset.rawValue)
      $0.text(2, "default")
    }
    request.withUnsafeBytes { stream.received($0) }
    stream.halfClosed()
    #expect(responses.status == .ok)
  }

  /// 32 bytes that begin with this one.
  static func hash(_ first: UInt8) -> [UInt8] { [first] + Array(repeating: 7, count: 31) }

  func cache(_ blocks: [UInt32], _ firsts: [UInt8]) {
    succeed("BlockPool/CacheBlocks", .cacheBlocks(blocks, blockHashes: firsts.flatMap(Self.hash)))
  }
}

func stored(
  _ firsts: [UInt8], _ blocks: [UInt32], size: UInt32 = 4, parent: [UInt8] = [],
  tokens: [UInt32] = []
) -> KvEventFields {
  var fields = BlockStoredFields()
  fields.hashes = firsts.flatMap(ServiceHarness.hash)
  fields.blockIDs = blocks
  fields.blockSize = size
  fields.parentHash = parent
  fields.tokenIDs = tokens
  return .stored(fields)
}

func removed(_ firsts: [UInt8], _ blocks: [UInt32], _ cause: EventCause) -> KvEventFields {
  .removed(removal(firsts, blocks, cause))
}

func removal(
  _ firsts: [UInt8], _ blocks: [UInt32], _ cause: EventCause, left: [UInt32] = []
) -> BlockRemovedFields {
  var fields = BlockRemovedFields()
  fields.hashes = firsts.flatMap(ServiceHarness.hash)
  fields.blockIDs = blocks
  fields.cause = cause
  fields.remainingCopies = left
  return fields
}
