/// Which cached block loses its content when an allocation needs one and no free block is left.
/// Raw values are the wire's `EvictionPolicy`, and in dumps.
package enum EvictionPolicy: UInt8, BitwiseCopyable, Sendable {
  /// The least recently used: vLLM's victims.
  case lru = 1
  /// The least often hit since it was cached, aged; ties lru.
  case lfu = 2
  /// Small queue, main queue, ghosts.
  case s3FIFO = 3
  /// The lowest retention priority; ties lru.
  case priority = 4
}
