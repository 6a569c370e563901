/// How a block's content becomes a hash; names and bytes as in vLLM's `prefix_caching_hash_algo`.
package enum BlockHashAlgorithm: Sendable, CaseIterable {
  /// SHA-256 over canonical CBOR: 32 bytes. Nobody can make two contents with one hash.
  case sha256CBOR
  /// XXH3 over canonical CBOR: 16 bytes, several times as fast. Who knows the seed can make two
  /// contents with one hash, so the seed is a secret.
  case xxhashCBOR

  package var byteCount: Int {
    switch self {
    case .sha256CBOR: 32
    case .xxhashCBOR: 16
    }
  }

  /// What vLLM seeds the algorithm with when nobody says otherwise; nil = there must be a seed.
  /// (vLLM then draws a random one for each process, which no two processes share.)
  package var defaultSeed: String? {
    switch self {
    case .sha256CBOR: "vllm-none-hash"
    case .xxhashCBOR: nil
    }
  }
}

/// Why there is no hasher with that configuration.
package enum BlockHasherError: Error, Equatable {
  /// The algorithm has no default seed, and none was given.
  case seedNeeded
}
