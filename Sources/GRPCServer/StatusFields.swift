import GRPCWire
import HTTP2

/// Writes a status as header fields.
enum StatusFields {
  /// Clients refuse longer header lists.
  private static let limitBytes = 8_192
  /// Half of the limit, so that details have room beside a long message.
  private static let messageLimitBytes = 4_096
  private static let digits = (0...16).map { "\($0)" }

  /// Appends `grpc-status` and what belongs to it. What does not fit 8 KiB is left out: first the end
  /// of the message, then the details, then the trailers.
  static func append(_ status: Status, to list: HTTP2FieldList) {
    list.append("grpc-status", digits[Int(status.code.rawValue)])
    var isWhole = true
    if !status.message.isEmpty {
      var message = PercentEncoding.encode(status.message, upTo: messageLimitBytes)
      if message.count > messageLimitBytes {
        isWhole = false
        message.removeSubrange(messageLimitBytes...)
        // Not within a `%XX`.
        if let percent = message.suffix(2).lastIndex(of: UInt8(ascii: "%")) {
          message.removeSubrange(percent...)
        }
      }
      list.append("grpc-message", message, isIndexed: false)
    }
    // Clients compare the message with the one inside the details.
    if !status.details.isEmpty, isWhole {
      appendIfItFits("grpc-status-details-bin", Base64.encode(status.details), to: list)
    }
    for trailer in status.trailers {
      appendIfItFits(trailer.name, trailer.cleanValue, to: list)
    }
  }

  private static func appendIfItFits(
    _ name: String, _ value: [UInt8], to list: HTTP2FieldList
  ) {
    guard list.headerListBytes + name.utf8.count + value.count + 32 <= limitBytes else { return }
    list.append(name, value, isIndexed: false)
  }
}
