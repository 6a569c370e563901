extension CommandSpec {
  /// In the order of the help.
  static let all: [CommandSpec] = [stats, top, map, pools, sequences, events, defrag, size, health]
}
