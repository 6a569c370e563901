/// What one command may look at. Blocks that are handed out or shared are counted elsewhere
/// (`maximumBlocksPerCommand`); this is for operations that look at much and take nothing: lookups of
/// long prefixes whose admission is then refused, walks over long tables, content that is cached and
/// forgotten by turns. Counted are hits looked for, table entries walked, contents cached or forgotten.
///
/// The limit is far above what a scheduler's step does (256 sequences of 128 k tokens in blocks of 16
/// are 2 M entries), and bounds the time of a command to a second or so. A single operation is not cut
/// off in a lookup: the one that passes the limit finishes it, and those behind it are refused.
///
/// Facts (tokens, rewinds, commits) are never refused for it; they are counted against what follows.
extension KVPool {
  /// Before an operation looks at so many entries, or at more than it can say.
  @inline(never)
  func spend(_ entries: UInt32, _ sequence: SequenceID) throws(Refusal) {
    if run.work > workLimit || run.work + UInt64(entries) > workLimit {
      throw Refusal(.quota, field: .work, limit: workLimit, sequence: sequence)
    }
    run.work += UInt64(entries)
  }
}
