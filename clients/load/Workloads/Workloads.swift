/// This module owns what a load run is made of: seeded draws, trace readers, request plans, the
/// scheduler that plays a plan step by step, the numbers it takes and the report made of them. It
/// never opens a connection, reads a clock or waits: time and answers come in as values, steps go out
/// as values, so that an hour of load can be played in a test in seconds.

/// How `quire-load` ends (`k6`'s 99 is kept free for failed objectives).
package enum ExitCode: Int32, Sendable {
  case pass = 0
  /// The command line or the trace file is wrong; nothing was sent.
  case usage = 1
  /// The connection was lost, or the server refused what it must not refuse.
  case server = 2
  /// An invariant is broken: blocks leaked, or one block was handed out twice.
  case invariant = 3
  /// This program, not the server, was slow: the measurements mean nothing.
  case invalidRun = 4
  /// SIGINT or SIGTERM ended the run early (128 + SIGINT, as shells say it).
  case interrupted = 130
}
