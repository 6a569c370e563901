/// What is published on ZeroMQ, where and how.
package struct ZMQEventOptions: Equatable, Sendable {
  /// Where subscribers connect: `tcp://127.0.0.1:5557`, `tcp://*:5557`, `ipc:///run/quire.ipc`.
  package var endpoint: String
  /// Where they ask for what they missed; nil = nowhere.
  package var replayEndpoint: String?
  /// The first frame of every message.
  package var topic = ""
  package var pool = "default"
  package var hashes = VLLMHashForm.int
  /// `data_parallel_rank` of every batch.
  package var rank: UInt64 = 0
  /// Batches that wait for one subscriber at most; past it, it misses some.
  package var highWater: Int32 = 10_000
  /// Batches that can be asked for, and bytes of them.
  package var replayBatches = 10_000
  package var replayBytes = 64 << 20

  package init(endpoint: String) { self.endpoint = endpoint }
}
