internal import CCrypto
internal import CXXHash

/// Bytes to a hash: OpenSSL's SHA-256 or XXH3 with 128 bits. Owns what OpenSSL needs, made once.
///
/// A fresh SHA-256 of OpenSSL 3 costs allocations and a look-up by name, so one context is started
/// again for each message.
struct HashFunction: ~Copyable {
  let algorithm: BlockHashAlgorithm
  /// Of `sha256CBOR`; started once with SHA-256.
  private let context: OpaquePointer?

  init(_ algorithm: BlockHashAlgorithm) {
    self.algorithm = algorithm
    switch algorithm {
    case .sha256CBOR:
      let context = EVP_MD_CTX_new()
      let sha256 = EVP_MD_fetch(nil, "SHA256", nil)
      // The context keeps the algorithm alive.
      let isReady = EVP_DigestInit_ex2(context, sha256, nil) == 1
      EVP_MD_free(sha256)
      precondition(isReady, "OpenSSL has no SHA-256, or there is no memory")
      self.context = context
    case .xxhashCBOR:
      context = nil
    }
  }

  deinit { EVP_MD_CTX_free(context) }

  @inline(__always)
  func callAsFunction(_ bytes: UnsafeRawBufferPointer) -> ContentHash {
    switch algorithm {
    case .sha256CBOR:
      var hash = ContentHash(0, 0)
      let isHashed = withUnsafeMutableBytes(of: &hash.words) {
        EVP_DigestInit_ex2(context, nil, nil) == 1
          && EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1
          && EVP_DigestFinal_ex(context, $0.bindMemory(to: UInt8.self).baseAddress, nil) == 1
      }
      precondition(isHashed, "OpenSSL failed to hash bytes in memory")
      return hash
    case .xxhashCBOR:
      let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
      // The canonical form, which Python's `digest()` gives: most significant byte first.
      return ContentHash(hash.high64.bigEndian, hash.low64.bigEndian)
    }
  }
}
