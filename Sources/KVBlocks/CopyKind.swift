/// What an ordered copy is for; with it, between which tiers it goes.
package enum CopyKind: UInt8, BitwiseCopyable {
  /// Copy on write, of either layer: from device to device.
  case write
  /// A sequence leaves the device.
  case swapOut
  /// A swapped sequence comes back.
  case swapIn
  /// A block moves on the device, so that there are longer runs.
  case move

  package var sourceTier: Tier { self == .swapIn ? .host : .device }
  package var targetTier: Tier { self == .swapOut ? .host : .device }
}

/// Where a block lives. Each tier has its own ids, from 1.
package enum Tier: UInt8, BitwiseCopyable {
  case device = 1
  case host = 2
}
