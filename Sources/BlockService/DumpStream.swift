internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// Bytes of dumps that are being sent or received, of all calls together: they lie in memory until
/// the call ends, and a client may take its time.
final class DumpTransfers {
  private let limit: Int
  private var bytes = 0

  init(limit: Int) { self.limit = limit }

  func take(_ count: Int) throws(CallFailure) {
    guard count <= limit - bytes else {
      throw .limit(
        "data", "would make more than \(limit) bytes of dumps that are being sent or received")
    }
    bytes += count
  }

  func giveBack(_ count: Int) { bytes -= count }
}

/// One call of `Pools.DumpPool`: the dump is made at once and sent as fast as the client reads.
final class DumpStream: RequestStream {
  static let chunkBytes = 256 << 10
  /// Over the transport's high-water mark, so that it tells when they are sent.
  static let mostQueuedBytes = 1 << 20

  private let service: QuireService
  private let responses: any ResponseStream
  private var dump = FlatList<UInt8>(minimumCapacity: 1)
  private var revision: UInt64 = 0
  private var digest: UInt64 = 0
  private var sent = 0
  private var isOver = false

  init(_ service: QuireService, _ responses: any ResponseStream) {
    self.service = service
    self.responses = responses
  }

  deinit { service.transfers.giveBack(dump.count) }

  func received(_ message: UnsafeRawBufferPointer) {
    do throws(CallFailure) {
      let request = try service.decode(DumpPoolRequest.self, message)
      let pool = try service.readPool(request.call).pool
      var bytes = FlatList<UInt8>(minimumCapacity: 1)
      digest = pool.dump(into: &bytes)
      try service.transfers.take(bytes.count)
      dump = bytes
      revision = pool.revision
    } catch {
      isOver = true
      responses.finish(error.status)
      return
    }
    sendMore()
  }

  private func sendMore() {
    while !isOver && responses.queuedBytes <= Self.mostQueuedBytes {
      if sent == dump.count {
        isOver = true
        responses.finish(.ok)
        return
      }
      let count = min(Self.chunkBytes, dump.count - sent)
      service.packer.reset()
      service.packer.poolDumpChunk(
        revision: revision, stateDigest: digest, totalBytes: dump.count, offset: sent,
        data: UnsafeRawBufferPointer(start: dump.base + sent, count: count))
      sent += count
      responses.send(byteCount: service.packer.byteCount) { service.packer.copy(to: $0) }
    }
  }

  func halfClosed() {}
  func cancelled(_ status: Status) { isOver = true }
  func drained() { sendMore() }
}
