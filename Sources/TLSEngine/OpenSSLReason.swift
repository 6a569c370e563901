internal import COpenSSL

/// OpenSSL's error queue: the first entry is the cause, later ones are what it led to.
enum OpenSSLReason {
  /// What an earlier call left in the queue would be taken for the next one's failure. To look is a
  /// few instructions, to clear some hundreds.
  @inline(__always)
  static func clear() { if ERR_peek_error() != 0 { ERR_clear_error() } }

  /// Takes the queue's first error as words and empties the queue; nil when it was empty.
  static func take() -> String? {
    let error = ERR_get_error()
    ERR_clear_error()
    if error == 0 { return nil }
    if copenssl_is_system_error(error) != 0 {
      return strerror(copenssl_reason(error)).map { String(cString: $0) }
    }
    return ERR_reason_error_string(error).map { String(cString: $0) } ?? "error \(error)"
  }
}
