/// Which events are kept, how many, and when subscribers hear.
package struct EventOptions: Equatable, Sendable {
  package enum Recording: String, Sendable, CaseIterable {
    /// Nobody can subscribe.
    case off
    /// From the first subscriber or dump of a pool on, until nobody has subscribed for `lingerMilliseconds`.
    case demand
    /// All events of all pools, from their first on.
    case on
  }

  package var recording = Recording.demand
  /// Of each pool that keeps events; allocated at once, touched as it fills.
  package var ringBytes = 64 << 20
  package var ringBatches = 100_000
  /// Of all pools together: each of them costs a look whenever there are events.
  package var mostSubscribers = 1_000
  /// A subscriber that has all hears so often that there is nothing new.
  package var heartbeatNanoseconds: UInt64 = 5_000_000_000
  /// Events of so long travel together while there are many.
  package var delayNanoseconds: UInt64 = 5_000_000
  package var lingerNanoseconds: UInt64 = 600_000_000_000

  /// Four batches, the largest block of all in each.
  package static let leastRingBytes = 1 << 20
  /// A batch is closed before it is larger than this, so that every client accepts it.
  package static let largestBatchBytes = 256 << 10

  package init() {}
}
