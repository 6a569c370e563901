internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// One call of `Events.DumpState`: the picture is taken at once, at one revision, and sent as fast as the
/// client reads.
///
/// To take it costs some tens of nanoseconds for each block that is not plain free. It lies in memory
/// until it is sent, chunk by chunk, as part of what all dumps together may take.
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
      if request.wantsStateDigest { header.stateDigest = hosted.pool.stateDigest() }
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
      if sentChunks == dump.chunks.count {
        isOver = true
        responses.finish(.ok)
        return
      }
      sendChunk(dump.chunks[sentChunks].bytes.elements)
      service.transfers.giveBack(dump.forget(sentChunks))
      sentChunks += 1
    }
  }

  private func sendChunk(_ bytes: UnsafeBufferPointer<UInt8>) {
    let isLast = sentChunks == dump.chunks.count - 1
    // The end first: the packer writes backwards.
    service.packer.reset()
    if isLast { service.packer.stateChunkEnd(stateDigest: header.stateDigest) }
    let endCount = service.packer.byteCount
    service.packer.stateChunkHeader(
      revision: header.revision, nextSequenceNumber: header.nextSequenceNumber,
      epoch: header.epoch, pool: sentChunks == 0 ? header.pool : nil)
    let packed = service.packer.bytes
    let headerCount = packed.count - endCount
    responses.send(byteCount: packed.count + bytes.count) { place in
      Self.copy(UnsafeRawBufferPointer(rebasing: packed[..<headerCount]), to: place)
      Self.copy(UnsafeRawBufferPointer(bytes), to: place + headerCount)
      Self.copy(
        UnsafeRawBufferPointer(rebasing: packed[headerCount...]),
        to: place + headerCount + bytes.count)
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
