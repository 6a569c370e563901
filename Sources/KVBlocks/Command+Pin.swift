/// Keeps a cached prefix from eviction, for the session, within its budget.
package struct PinPrefix {
  /// The hashes of the prefix's full blocks, in order, one at least.
  package var blockHashes: UnsafeBufferPointer<UInt8>
  /// Milliseconds from this command on; 0 = until it is taken away.
  package var timeToLive: UInt64
  /// Takes the pin of exactly this prefix away.
  package var unpins: Bool

  package init(
    blockHashes: UnsafeBufferPointer<UInt8>, timeToLive: UInt64 = 0, unpins: Bool = false
  ) {
    self.blockHashes = blockHashes
    self.timeToLive = timeToLive
    self.unpins = unpins
  }
}

extension Digest {
  mutating func add(_ pin: PinPrefix) {
    add(pin.timeToLive, pin.unpins ? 1 : 0)
    add(hashes: pin.blockHashes)
  }
}
