internal import VLLMEvents

/// Events in vLLM's form: where, and of which pool.
extension Arguments {
  static let zmqFlags = [
    "--zmq-events", "--zmq-replay", "--zmq-topic", "--zmq-pool", "--zmq-hashes", "--zmq-rank",
    "--zmq-high-water", "--zmq-replay-batches", "--zmq-replay-bytes",
  ]

  static let zmqHelp = """
      --zmq-events ENDPOINT  publish the events of a pool as vLLM does, on a ZeroMQ socket:
                             tcp://127.0.0.1:5557, tcp://*:5557 or ipc:///PATH (off). Neither TLS nor
                             passwords nor limits on what is sent to it: for trusted networks,
                             as is the next
      --zmq-replay ENDPOINT  where subscribers ask for batches that they missed (nowhere)
      --zmq-pool NAME        of this pool (default default); keep-tokens=on has its token ids told
      --zmq-topic TEXT       the first frame of each message (empty)
      --zmq-hashes FORM      int (the last 8 bytes, vLLM's default) or bytes (default int)
      --zmq-rank N           data_parallel_rank of the batches (default 0)
      --zmq-high-water N     batches that wait for one subscriber; past it, it misses some (10000).
                             Most have some hundred bytes, the largest 550 KB: all of those
                             would be 5.5 GB for each subscriber that does not read
      --zmq-replay-batches N batches that can be asked for (10000), and
      --zmq-replay-bytes SIZE
                             of them (64MiB)
    """

  /// Words that say something only beside `--zmq-events`.
  struct ZMQWords: Equatable {
    var options = ZMQEventOptions(endpoint: "")
    var first: String?
  }

  mutating func setZMQ(_ flag: String, _ value: String) throws(Problem) {
    func fail(_ reason: String) -> Problem { Problem("\(flag) '\(value)': \(reason)") }
    func number(_ range: ClosedRange<UInt64>) throws(Problem) -> UInt64 {
      guard let number = UInt64(digits: value[...]), range.contains(number) else {
        throw fail("must be a whole number from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    if zmqWords.first == nil { zmqWords.first = flag }
    switch flag {
    case "--zmq-events", "--zmq-replay":
      guard value.hasPrefix("tcp://") || value.hasPrefix("ipc://") else {
        throw fail("must be tcp://HOST:PORT or ipc://PATH")
      }
      if flag == "--zmq-events" {
        zmqWords.options.endpoint = value
      } else {
        zmqWords.options.replayEndpoint = value
      }
    case "--zmq-topic":
      guard value.utf8.count <= 255 else { throw fail("must be at most 255 bytes") }
      zmqWords.options.topic = value
    case "--zmq-pool": zmqWords.options.pool = value
    case "--zmq-hashes":
      guard let form = VLLMHashForm(rawValue: value) else { throw fail("must be int or bytes") }
      zmqWords.options.hashes = form
    case "--zmq-rank": zmqWords.options.rank = try number(0...65_535)
    case "--zmq-high-water": zmqWords.options.highWater = Int32(try number(1...10_000_000))
    case "--zmq-replay-batches": zmqWords.options.replayBatches = Int(try number(1...100_000_000))
    default:
      guard let bytes = Quantity.bytes(value[...]), (1 << 20...1 << 36).contains(bytes) else {
        throw fail("must be from 1MiB to 64GiB")
      }
      zmqWords.options.replayBytes = Int(bytes)
    }
  }

  mutating func settleZMQ() throws(Problem) {
    if !zmqWords.options.endpoint.isEmpty {
      zmq = zmqWords.options
    } else if let flag = zmqWords.first {
      throw Problem("\(flag) needs --zmq-events")
    }
    zmqWords = ZMQWords()
  }
}
