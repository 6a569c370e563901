extension CommandSpec {
  /// In the order of the help.
  static let all: [CommandSpec] = [
    stats, top, map, report, pools, sequences, explain, events, defrag, whatIf, size, health,
  ]
}
