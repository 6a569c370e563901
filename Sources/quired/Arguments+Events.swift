internal import BlockService

/// What events are kept, and who hears of them when.
extension Arguments {
  static let eventFlags = [
    "--kv-events", "--kv-events-bytes", "--kv-events-batches", "--kv-events-heartbeat",
    "--kv-events-delay", "--kv-events-linger", "--kv-events-subscribers",
  ]

  static let eventHelp = """
      --kv-events WHEN       keep the events of pools for subscribers: off, demand (from a pool's
                             first subscriber or dump of its state on) or on (from its beginning)
                             (default demand)
      --kv-events-bytes SIZE of them, for each pool (64MiB), and
      --kv-events-batches N  batches, one a command (100000); older ones are forgotten
      --kv-events-subscribers N
                             at once; further ones get UNAVAILABLE (1000)
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
    case "--kv-events-batches", "--kv-events-subscribers":
      let most: UInt64 = flag == "--kv-events-batches" ? 100_000_000 : 1_000_000
      guard let number = UInt64(digits: value[...]), (1...most).contains(number) else {
        throw fail("must be a whole number from 1 to \(most)")
      }
      if flag == "--kv-events-batches" {
        events.ringBatches = Int(number)
      } else {
        events.mostSubscribers = Int(number)
      }
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
