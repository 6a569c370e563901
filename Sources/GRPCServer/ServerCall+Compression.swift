import GRPCWire
import HTTP2
import MessageCompression

/// Which replies a server compresses when their handler does not say. Only encodings that the client
/// lists are used.
package enum ReplyCompressionPolicy: String, Sendable, CaseIterable {
  case none
  /// As the client's own request is: who spends time on packing wants small messages.
  case mirror
  case gzip
  case deflate
}

/// What a call has beyond messages and a status. Made for those calls only that have it.
final class CallExtras {
  var requestEncoding: MessageEncoding?
  var isRequestCompressed = false
  var choice = ReplyCompression.asConfigured
  /// What the response's headers announce, or are going to.
  var replyEncoding: MessageEncoding?
  var initialMetadata: [MetadataField] = []
}

extension ServerCall {
  /// Before `begin`: what the request's headers say of encodings.
  func setEncodings(_ head: borrowing RequestHead, on connection: ServerConnection) {
    // A client remembers what it has been told; telling it with every answer costs 400 instructions.
    announcesEncodings = head.encoding != nil || !connection.hasAnnouncedEncodings
    let policy = server.options.replyCompression
    // Without a forced encoding or one of the request's, the list is read if a handler asks.
    if head.encoding == nil, policy == .none || policy == .mirror { return }
    let extras = makeExtras()
    extras.requestEncoding = head.encoding
    framer.acceptsCompressed = head.encoding != nil
  }

  private func makeExtras() -> CallExtras {
    if let extras { return extras }
    let extras = CallExtras()
    self.extras = extras
    return extras
  }

  func addInitialMetadata(_ field: MetadataField) {
    if !hasSentHeaders { makeExtras().initialMetadata.append(field) }
  }

  func compressReplies(_ choice: ReplyCompression) {
    let extras = makeExtras()
    extras.choice = choice
    if choice == .always, !hasSentHeaders, extras.replyEncoding == nil {
      extras.replyEncoding = usable(choice, extras)
    }
  }

  var isRequestCompressed: Bool { extras?.isRequestCompressed ?? false }

  // MARK: Requests

  /// Unpacks a message and delivers it.
  func unpack(_ message: UnsafeRawBufferPointer, isLast: Bool) {
    guard let extras, let encoding = extras.requestEncoding else {
      preconditionFailure("a compressed message without an encoding")
    }
    guard let connection else { return }
    guard connection.mayUnpack() else { return refuseToUnpack(on: connection) }
    let decompressor = server.decompressor
    do throws(DecompressionError) {
      let plain = try decompressor.decompress(message, encoding, limitBytes: framer.limitBytes)
      connection.hasUnpacked(message.count, to: plain.count)
      extras.isRequestCompressed = true
      deliver(plain, isLast: isLast)
      // The only message of other calls may yet wait for the client's end.
      if isClientStreaming { extras.isRequestCompressed = false }
    } catch {
      connection.hasUnpacked(message.count, to: decompressor.unpackedBytes)
      fail(error.status)
    }
  }

  private func refuseToUnpack(on connection: ServerConnection) {
    server.count(.unpacking, on: connection)
    fail(server.overloaded("the compressed messages of this connection unpack to too much"))
    connection.hasRefusedToUnpack()
  }

  // MARK: Replies

  /// The encoding for `choice` that the client reads; nil = none.
  private func usable(_ choice: ReplyCompression, _ extras: CallExtras) -> MessageEncoding? {
    let wanted: [MessageEncoding?] =
      switch (choice, server.options.replyCompression) {
      case (.never, _), (.asConfigured, .none): []
      case (.always, _): [extras.requestEncoding, .gzip, .deflate]
      case (.asConfigured, .mirror): [extras.requestEncoding]
      case (.asConfigured, .gzip): [.gzip]
      case (.asConfigured, .deflate): [.deflate]
      }
    guard let fields else { return nil }
    for (name, list) in fields where name.matches("grpc-accept-encoding") {
      for case .some(let encoding) in wanted where encoding.isListed(in: list) { return encoding }
    }
    return nil
  }

  /// Packs the reply that was just queued, whose body of `byteCount` bytes is the end of the output.
  func packReply(_ byteCount: Int) {
    guard let extras, let stream else { return }
    if !hasSentHeaders, extras.replyEncoding == nil {
      extras.replyEncoding = usable(extras.choice, extras)
    }
    let least =
      switch extras.choice {
      case .never: Int.max
      case .always: 0
      case .asConfigured: server.options.minCompressedReplyBytes
      }
    guard byteCount >= least, let encoding = extras.replyEncoding,
      let body = stream.queuedEnd(byteCount),
      let packed = server.compressor.compress(
        UnsafeRawBufferPointer(start: body, count: byteCount), encoding)
    else { return }
    body.copyMemory(from: packed.baseAddress.unsafelyUnwrapped, byteCount: packed.count)
    MessageFramer.writePrefix(packed.count, to: body - 5)
    MessageFramer.markCompressed(body - 5)
    stream.unreserve(byteCount - packed.count)
  }

  /// The response's headers of a call that has extras. Copied when they are submitted.
  func fieldsWithExtras() -> HTTP2FieldList {
    let list = server.scratchFields
    list.removeAll()
    list.append(":status", "200")
    list.append("content-type", "application/grpc")
    if announcesEncodings { list.append("grpc-accept-encoding", MessageEncoding.accepted) }
    guard let extras else { return list }
    if let encoding = extras.replyEncoding { list.append("grpc-encoding", encoding.name) }
    for field in extras.initialMetadata {
      list.append(field.name, field.cleanValue, isIndexed: false)
    }
    return list
  }
}
