internal import BlockService

/// What events are kept, and who hears of them when.
extension Arguments {
  static let eventFlags = [
    "--kv-events", "--kv-events-bytes", "--kv-events-batches", "--kv-events-heartbeat",
    "--kv-events-delay", "--kv-events-linger",
  ]

  static let eventHelp = """
      --kv-events WHEN       keep the events of pools for subscribers: off, demand (from a pool's
                             first subscriber or dump of its state on) or on (from its beginning)
                             (default demand)
      --kv-events-bytes SIZE of them, for each pool (64MiB), and
      --kv-events-batches N  batches, one a command (100000); older ones are forgotten
      --kv-events-heartbeat TIME
                             how often a subscriber hears that there is nothing new (5s)
      --kv-events-delay TIME how long events may wait to travel together (5ms)
      --kv-events-linger TIME
                             with demand: how long they are kept when nobody subscribes (10m)
    """

  mutating func setEvents(_ flag: String, _ value: String) throws(Problem) {
    func fail(_ reason: String) -> Problem { Problem("\(flag) '\(value)': \(reason)") }
    switch flag {
    case "--kv-events":
      guard let recording = EventOptions.Recording(rawValue: value) else {
        throw fail("must be off, demand or on")
      }
      events.recording = recording
    case "--kv-events-bytes":
      let range = UInt64(EventOptions.leastRingBytes)...(1 << 36)
      guard let bytes = Quantity.bytes(value[...]), range.contains(bytes) else {
        throw fail("must be from 1MiB to 64GiB")
      }
      events.ringBytes = Int(bytes)
    case "--kv-events-batches":
      guard let batches = UInt64(digits: value[...]), (1...100_000_000).contains(batches) else {
        throw fail("must be a whole number from 1 to 100000000")
      }
      events.ringBatches = Int(batches)
    default:
      guard let time = Quantity.nanoseconds(value[...]), Quantity.times.contains(time) else {
        throw fail("must be from 1ms to 8760h, such as 500ms, 30s, 5m or 2h")
      }
      switch flag {
      case "--kv-events-heartbeat": events.heartbeatNanoseconds = time
      case "--kv-events-delay": events.delayNanoseconds = time
      default: events.lingerNanoseconds = time
      }
    }
  }
}
