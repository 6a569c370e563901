internal import GRPCWire
internal import HTTP2

/// One method of a channel's server with its request headers made ready.
///
/// A call without metadata and with one of the few timeouts seen so far costs no copy: the whole
/// list is constant. Made by `GRPCChannel.method(_:)`, valid for channels of the same context and
/// target.
package final class GRPCMethod {
  package let path: String
  let context: GRPCClientContext
  private let authority: String
  private let scheme: String
  private let untimed: HTTP2FieldList
  /// Lists that differ in their timeout or encoding. Constant lists are never freed, so there are only so many.
  private var timed: [(nanoseconds: UInt64, encoding: MessageEncoding?, fields: HTTP2FieldList)] =
    []
  private static let timedLimit = 4

  init(path: String, scheme: String, authority: String, context: GRPCClientContext) {
    self.path = path
    self.scheme = scheme
    self.authority = authority
    self.context = context
    untimed = context.http2.constantFields(
      GRPCMethod.leading(path, scheme, authority) + GRPCMethod.trailing(context, nil))
  }

  /// The fields of one call, valid until the next is asked for.
  ///
  /// - Parameters:
  ///   - timeoutNanoseconds: `.max` = none.
  ///   - encoding: What the request's messages may be compressed with.
  func fields(
    timeoutNanoseconds: UInt64, metadata: CallMetadata?, encoding: MessageEncoding?
  ) -> HTTP2FieldList {
    if metadata?.isEmpty ?? true {
      if timeoutNanoseconds == .max, encoding == nil { return untimed }
      for entry in timed
      where entry.nanoseconds == timeoutNanoseconds && entry.encoding == encoding {
        return entry.fields
      }
      if timed.count < GRPCMethod.timedLimit {
        var fields = GRPCMethod.leading(path, scheme, authority)
        if timeoutNanoseconds != .max {
          fields.append(("grpc-timeout", GRPCTimeout.format(nanoseconds: timeoutNanoseconds)))
        }
        let list = context.http2.constantFields(fields + GRPCMethod.trailing(context, encoding))
        timed.append((timeoutNanoseconds, encoding, list))
        return list
      }
    }
    return build(timeoutNanoseconds, metadata, encoding)
  }

  private func build(
    _ timeoutNanoseconds: UInt64, _ metadata: CallMetadata?, _ encoding: MessageEncoding?
  ) -> HTTP2FieldList {
    let fields = context.scratchFields
    fields.removeAll()
    for (name, value) in GRPCMethod.leading(path, scheme, authority) { fields.append(name, value) }
    if timeoutNanoseconds != .max {
      fields.append(
        "grpc-timeout", GRPCTimeout.format(nanoseconds: timeoutNanoseconds), isIndexed: false)
    }
    for (name, value) in GRPCMethod.trailing(context, encoding) { fields.append(name, value) }
    if let metadata {
      for entry in metadata.entries { fields.append(entry.name, entry.value) }
    }
    return fields
  }

  private static func leading(
    _ path: String, _ scheme: String, _ authority: String
  ) -> [(name: String, value: String)] {
    [(":method", "POST"), (":scheme", scheme), (":path", path), (":authority", authority)]
  }

  private static func trailing(
    _ context: GRPCClientContext, _ encoding: MessageEncoding?
  ) -> [(name: String, value: String)] {
    [("te", "trailers"), ("content-type", "application/grpc")]
      + (encoding.map { [("grpc-encoding", $0.name)] } ?? [])
      + [
        ("grpc-accept-encoding", MessageEncoding.accepted),
        ("user-agent", context.options.userAgent),
      ]
  }
}
