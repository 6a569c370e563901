/// Holds back blocks for a sequence to come, or gives such a promise up.
package struct Reserve: BitwiseCopyable {
  /// A name of the session; there need not be a sequence of that name yet, and it must not run.
  package var sequence: SequenceID
  /// In all, in place of what was promised before; at least 1, and 0 with `releases`.
  package var blocks: UInt32
  package var releases: Bool
  /// The number of the size class whose blocks are meant, from 1; 0 = the sequence's, or where
  /// there is none of that name yet that of the earlier promise, or else the first.
  package var sizeClass: UInt32

  package init(
    sequence: SequenceID, blocks: UInt32 = 0, releases: Bool = false, sizeClass: UInt32 = 0
  ) {
    self.sizeClass = sizeClass
    self.sequence = sequence
    self.blocks = blocks
    self.releases = releases
  }
}
