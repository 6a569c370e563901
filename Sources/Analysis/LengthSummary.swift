/// How long sequences are, and how full that leaves their last blocks.
package struct LengthSummary: Equatable, Sendable {
  /// In any state.
  package var sequences = 0
  /// There are more than were looked at.
  package var isTruncated: Bool
  /// Tokens: the mean, half and nine tenths of them have at most so many, and the most.
  package var mean = 0.0
  package var median: UInt32 = 0
  package var ninetieth: UInt32 = 0
  package var longest: UInt32 = 0
  /// Slots that the last block of a sequence leaves unused: (B - L mod B) mod B, the mean.
  package var meanTail = 0.0
  /// Of the sequences, those that leave three quarters or more of their last block unused.
  package var shortTails = 0

  /// - Complexity: O(different lengths).
  package init(_ known: WhatIf, blockSize: UInt32, isTruncated: Bool = false) {
    self.isTruncated = isTruncated
    sequences = Int(known.sequences)
    guard let last = known.lengths.last else { return }
    longest = UInt32(last.tokens)
    mean = known.meanTokens
    var passed = 0
    var tails: UInt64 = 0
    for length in known.lengths {
      let count = Int(length.sequences)
      let here = passed..<passed + count
      if here.contains((sequences - 1) / 2) { median = UInt32(length.tokens) }
      if here.contains((sequences * 9 + 9) / 10 - 1) { ninetieth = UInt32(length.tokens) }
      passed += count
      let tail = BlockArithmetic.tailWaste(of: length.tokens, blockSize: blockSize)
      tails += tail * length.sequences
      if tail * 4 >= UInt64(blockSize) * 3 { shortTails += count }
    }
    meanTail = Double(tails) / Double(sequences)
  }
}
