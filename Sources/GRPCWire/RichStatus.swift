extension Status {
  /// A status with one typed detail, as `google.rpc.Status{1: code, 2: message, 3: Any}` in
  /// `details`.
  ///
  /// - Parameters:
  ///   - detailType: The full name of the detail's message, e.g. `google.rpc.ErrorInfo`.
  ///   - detail: The detail's serialised bytes.
  package init(
    _ code: StatusCode, _ message: String, detailType: String, detail: [UInt8],
    trailers: [Trailer] = []
  ) {
    var writer = ProtoWriter()
    writer.varint(1, UInt64(code.rawValue))
    writer.string(2, message)
    writer.message(3) {
      $0.string(1, "type.googleapis.com/\(detailType)")
      if !detail.isEmpty { $0.bytes(2, detail) }
    }
    self.init(code, message, details: writer.bytes, trailers: trailers)
  }
}
