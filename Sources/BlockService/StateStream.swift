internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// One call of `Events.DumpState`: the picture is taken at once, at one revision, and sent as fast as the
/// client reads.
///
/// To take it costs some tens of nanoseconds for each block that is not plain free. It lies in memory
/// until it is sent, as part of what all dumps together may take.
final class StateStream: RequestStream {
  private let service: QuireService
  private let responses: any ResponseStream
  private var dump = StateDump()
  private var header = StateChunkFields()
  private var sentChunks = 0
  private var isOver = false

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  deinit { service.transfers.giveBack(dump.taken) }

  func received(_ message: UnsafeRawBufferPointer) {
    do throws(CallFailure) {
      let request = try service.decode(DumpStateRequest.self, message)
      let hosted = try service.readPool(request.call)
      let recorder = service.events.recorder(of: hosted)
      header.revision = hosted.pool.revision
      header.epoch = recorder?.epoch ?? 0
      header.nextSequenceNumber = recorder?.ring.next ?? 0
      header.pool = PoolInfoFields(hosted)
      header.stateDigest = hosted.pool.stateDigest()
      try dump.take(
        hosted.pool, tokenIDs: request.wantsTokenIDs, parentHashes: request.wantsParentHashes,
        service.transfers)
    } catch {
      isOver = true
      responses.finish(error.status)
      return
    }
    sendMore()
  }

  private func sendMore() {
    while !isOver && responses.queuedBytes <= DumpStream.mostQueuedBytes {
      if sentChunks == dump.chunkEnds.count {
        isOver = true
        responses.finish(.ok)
        return
      }
      sendChunk(sentChunks)
      sentChunks += 1
    }
  }

  private func sendChunk(_ index: Int) {
    let begin = index == 0 ? 0 : dump.chunkEnds[index - 1]
    let end = dump.chunkEnds[index]
    let isLast = index == dump.chunkEnds.count - 1
    // The end first: the packer writes backwards.
    service.packer.reset()
    if isLast { service.packer.stateChunkEnd(stateDigest: header.stateDigest) }
    let endCount = service.packer.byteCount
    service.packer.stateChunkHeader(
      revision: header.revision, nextSequenceNumber: header.nextSequenceNumber,
      epoch: header.epoch, pool: index == 0 ? header.pool : nil)
    let packed = service.packer.bytes
    let headerCount = packed.count - endCount
    responses.send(byteCount: packed.count + end - begin) { place in
      Self.copy(UnsafeRawBufferPointer(rebasing: packed[..<headerCount]), to: place)
      Self.copy(
        UnsafeRawBufferPointer(start: dump.bytes.base + begin, count: end - begin),
        to: place + headerCount)
      Self.copy(
        UnsafeRawBufferPointer(rebasing: packed[headerCount...]),
        to: place + headerCount + end - begin)
    }
  }

  private static func copy(_ bytes: UnsafeRawBufferPointer, to place: UnsafeMutableRawPointer) {
    if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
  }

  func halfClosed() {}
  func cancelled(_ status: Status) { isOver = true }
  func drained() { sendMore() }
}

/// What chunks have beside blocks and sequences.
private struct StateChunkFields {
  var revision: UInt64 = 0
  var nextSequenceNumber: UInt64 = 0
  var epoch: UInt64 = 0
  var pool: PoolInfoFields?
  var stateDigest: UInt64 = 0
}

/// The blocks and sequences of a pool as fields of `StateChunk`s.
struct StateDump: ~Copyable {
  private(set) var bytes = FlatList<UInt8>(minimumCapacity: 1)
  /// Offsets in `bytes`. Chunks have whole fields only, and there is one at least.
  private(set) var chunkEnds: [Int] = []
  /// Bytes that are counted as part of all transfers.
  private(set) var taken = 0
  private var packer = MessagePacker()

  /// Transfers are asked for more whenever the dump has grown by so much.
  private static let step = 1 << 20

  /// O(blocks + entries of all tables).
  ///
  /// - Throws: Where the dumps of all calls together would take too much memory.
  mutating func take(
    _ pool: KVPool, tokenIDs: Bool, parentHashes: Bool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    let sources = tokenIDs || parentHashes ? pool.contentSources() : []
    let hashBytes = pool.configuration.hashBytes
    for id in 1...pool.configuration.blocks {
      let mark = pool.mark(of: id)
      if mark.state == .free && !mark.hasContent && !mark.isPinned { continue }
      let block = pool.block(id)
      var fields = BlockRecordFields(
        id: id, references: block.refCount, generation: block.generation,
        pins: UInt32(block.pins))
      packer.reset()
      if mark.hasContent {
        let hash = pool.content(id)
        let parent = parentHashes ? pool.parentHash(sources[Int(id)]) : nil
        if tokenIDs { fields.tokenIDs = pool.tokenIDs(sources[Int(id)]) }
        Self.withBytes(of: parent, hashBytes) { parent in
          fields.parentHash = parent
          Self.withBytes(of: hash, hashBytes) { packer.stateBlock(fields, hash: $0) }
        }
      } else {
        packer.stateBlock(fields, hash: .init(start: nil, count: 0))
      }
      try add(transfers)
    }
    try takeHost(pool, transfers)
    var cursor: UInt32 = 0
    while let (view, next) = pool.nextSequence(from: cursor) {
      cursor = next
      packer.reset()
      packer.stateSequence(SequenceFields(view, withBlockIDs: true))
      try add(transfers)
    }
    if chunkEnds.last != bytes.count || chunkEnds.isEmpty { chunkEnds.append(bytes.count) }
    try settle(transfers)
  }

  private mutating func takeHost(
    _ pool: KVPool, _ transfers: DumpTransfers
  ) throws(CallFailure) {
    if pool.configuration.hostBlocks == 0 { return }
    for id in 1...pool.configuration.hostBlocks {
      let block = pool.hostBlock(id)
      if block.refCount == 0 && block.pins == 0 { continue }
      var fields = BlockRecordFields(
        id: id, references: block.refCount, generation: block.generation,
        pins: UInt32(block.pins))
      fields.tier = UInt32(Tier.host.rawValue)
      packer.reset()
      packer.stateBlock(fields, hash: .init(start: nil, count: 0))
      try add(transfers)
    }
  }

  /// Adds the packed field.
  private mutating func add(_ transfers: DumpTransfers) throws(CallFailure) {
    let begin = chunkEnds.last ?? 0
    if bytes.count > begin && bytes.count - begin + packer.byteCount > DumpStream.chunkBytes {
      chunkEnds.append(bytes.count)
    }
    packer.copy(to: bytes.extend(by: packer.byteCount))
    if bytes.count - taken >= Self.step { try settle(transfers) }
  }

  private mutating func settle(_ transfers: DumpTransfers) throws(CallFailure) {
    try transfers.take(bytes.count - taken)
    taken = bytes.count
  }

  private static func withBytes(
    of hash: BlockHash?, _ byteCount: Int, _ body: (UnsafeRawBufferPointer) -> Void
  ) {
    guard let words = hash?.words else {
      return body(UnsafeRawBufferPointer(start: nil, count: 0))
    }
    withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[..<byteCount])) }
  }
}
