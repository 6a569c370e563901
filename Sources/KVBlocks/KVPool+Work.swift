/// What one command may look at. Blocks that are handed out or shared are counted elsewhere
/// (`maximumBlocksPerCommand`); this is for operations that look at much and take little: lookups of
/// long prefixes whose admission is then refused, walks over long tables, content that is cached and
/// forgotten by turns, searches for runs that are not there, victims that do not suffice.
///
/// Counted are hits looked for, table entries walked, contents cached or forgotten, candidates for a
/// preemption, what a search for someone to evict passes over, and the blocks and runs that a search for
/// adjacent ones passes: eight of these as one, because they lie in memory one behind the other.
///
/// The limit is far above what a scheduler's step does (256 sequences of 128 k tokens in blocks of 16
/// are 2 M entries), and bounds the time of a command to a second or so. A single operation is not cut
/// off in a lookup or a search: the one that passes the limit finishes it, and those behind it are
/// refused. So each of them takes time linear in the pool and in what it names.
///
/// Facts (tokens, rewinds, commits, frees) are never refused for it; they are counted against what
/// follows.
extension KVPool {
  /// Entries that the last command has looked at.
  package var work: UInt64 { run.work + blocks.searched / 8 }

  /// Before an operation looks at so many entries, or at more than it can say.
  @inline(never)
  func spend(_ entries: UInt32, _ sequence: SequenceID) throws(Refusal) {
    if work > workLimit || work + UInt64(entries) > workLimit {
      throw Refusal(.quota, field: .work, limit: workLimit, sequence: sequence)
    }
    run.work += UInt64(entries)
  }
}
