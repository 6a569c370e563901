internal import ToolSupport
internal import Workloads

/// Token ids in a file, as tokenizers and people write them: whole numbers with commas or white space
/// between them, in brackets or not.
package enum TokenFile {
  /// The largest token id of the contract.
  package static let largest: UInt64 = (1 << 31) - 1

  /// More make a request that no server takes.
  static let most = 1 << 24

  /// - Throws: When the file cannot be read or holds anything else, or nothing.
  package static func read(_ path: String) throws(Failure) -> [UInt64] {
    do throws(TraceError) {
      let lines = try LineReader(path: path)
      var tokens: [UInt64] = []
      while let line = try lines.next() {
        guard append(line, to: &tokens) else {
          throw TraceError(
            path: path, line: lines.lineNumber,
            "expected token ids, whole numbers up to \(largest), with commas or spaces between them"
          )
        }
        if tokens.count > most { throw TraceError(path: path, "has more than \(most) token ids") }
      }
      if tokens.isEmpty { throw TraceError(path: path, "has no token ids") }
      return tokens
    } catch {
      throw Failure(.usage, "--tokens-file: \(error)")
    }
  }

  /// - Returns: false where the line holds something else.
  private static func append(_ line: ArraySlice<UInt8>, to tokens: inout [UInt64]) -> Bool {
    var token: UInt64?
    for byte in line {
      switch byte {
      case UInt8(ascii: "0")...UInt8(ascii: "9"):
        let value = (token ?? 0) * 10 + UInt64(byte - UInt8(ascii: "0"))
        if value > largest { return false }
        token = value
      case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: ","), UInt8(ascii: "["),
        UInt8(ascii: "]"):
        if let token { tokens.append(token) }
        token = nil
      default: return false
      }
    }
    if let token { tokens.append(token) }
    return true
  }
}
