/// An allocation of raw blocks that says where: adjacent ones, or certain ones.
package struct PlaceBlocks: BitwiseCopyable {
  /// At least 1.
  package var count: UInt32
  /// One run of adjacent ids, for which cached blocks are evicted if need be, or refused.
  package var isContiguous: Bool
  /// A wish: those that are free and hold nothing are taken first, in this order. Of a run: where it
  /// is to begin.
  package var preferred: UnsafeBufferPointer<BlockID>
  /// The number of the size class whose blocks are meant, from 1; 0 = the first. What is preferred
  /// of other classes is passed over.
  package var sizeClass: UInt32

  package init(
    _ count: UInt32, isContiguous: Bool = false,
    preferred: UnsafeBufferPointer<BlockID> = .init(start: nil, count: 0), sizeClass: UInt32 = 0
  ) {
    self.sizeClass = sizeClass
    self.count = count
    self.isContiguous = isContiguous
    self.preferred = preferred
  }
}

extension Digest {
  mutating func add(_ place: PlaceBlocks) {
    add(UInt64(place.count), place.isContiguous ? 1 : 0)
    add(place.preferred)
    if place.sizeClass > 0 { add(UInt64(place.sizeClass)) }
  }
}
