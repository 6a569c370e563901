/// This module owns the program `quire`: its command line, what it asks a server and how the answers
/// look. Everything that is shown is made by functions from messages to text, which is how it is tested;
/// only `Commands` opens a connection and writes. It needs nothing of a server but its public contract.

/// How `quire` ends.
package enum ExitCode: Int32, Sendable {
  case fine = 0
  /// The command line or a file is wrong, or output cannot be written; nothing was asked for.
  case usage = 1
  /// The server cannot be reached, or the connection was lost.
  case unreachable = 2
  /// The server refused: no such pool, no such sequence, nothing to apply.
  case refused = 3
  /// What was asked about is not well: `health` found another state than SERVING, `defrag` that its
  /// goal cannot be reached.
  case unwell = 4
}

/// Why a command ended early.
package struct Failure: Error, Equatable {
  package var code: ExitCode
  package var message: String
  package init(_ code: ExitCode, _ message: String) {
    self.code = code
    self.message = message
  }
}
