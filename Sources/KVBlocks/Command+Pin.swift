/// Keeps a cached prefix from eviction, for the session, within its budget.
package struct PinPrefix: BitwiseCopyable {
  /// The hashes of the prefix's full blocks, in order, one at least; or none, and `tokenIDs`.
  package var blockHashes: UnsafeBufferPointer<UInt8>
  /// As many as there are ids. With hashes 0, or the tokens that they are of.
  package var tokens: UInt32
  /// Hashed with `extraKeys`; they fill one block at least.
  package var tokenIDs: UnsafeBufferPointer<UInt32>
  package var extraKeys: UnsafeBufferPointer<UInt8>
  /// Milliseconds from this command on; 0 = until it is taken away.
  package var timeToLive: UInt64
  /// Takes the pin of exactly this prefix away.
  package var unpins: Bool
  /// The number of the size class whose blocks are meant, from 1; 0 = the first.
  package var sizeClass: UInt32

  package init(
    blockHashes: UnsafeBufferPointer<UInt8>, tokens: UInt32 = 0,
    tokenIDs: UnsafeBufferPointer<UInt32> = .init(start: nil, count: 0),
    extraKeys: UnsafeBufferPointer<UInt8> = .init(start: nil, count: 0), timeToLive: UInt64 = 0,
    unpins: Bool = false, sizeClass: UInt32 = 0
  ) {
    self.sizeClass = sizeClass
    self.tokens = tokens
    self.tokenIDs = tokenIDs
    self.extraKeys = extraKeys
    self.blockHashes = blockHashes
    self.timeToLive = timeToLive
    self.unpins = unpins
  }
}

extension Digest {
  mutating func add(_ pin: PinPrefix) {
    add(pin.timeToLive, pin.unpins ? 1 : 0)
    if pin.sizeClass > 0 { add(UInt64(pin.sizeClass)) }
    add(hashes: pin.blockHashes)
    if pin.tokenIDs.count > 0 { add(pin.tokenIDs) }
    if pin.extraKeys.count > 0 { add(hashes: pin.extraKeys) }
  }
}
