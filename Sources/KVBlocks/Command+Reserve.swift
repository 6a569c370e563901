/// Holds back blocks for a sequence to come, or gives such a promise up.
package struct Reserve {
  /// A name of the session; there need not be a sequence of that name yet, and it must not run.
  package var sequence: SequenceID
  /// In all, in place of what was promised before; at least 1, and 0 with `releases`.
  package var blocks: UInt32
  package var releases: Bool

  package init(sequence: SequenceID, blocks: UInt32 = 0, releases: Bool = false) {
    self.sequence = sequence
    self.blocks = blocks
    self.releases = releases
  }
}
