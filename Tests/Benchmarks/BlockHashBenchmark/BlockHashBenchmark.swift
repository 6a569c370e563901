import BlockHashing
import Glibc

/// What block hashes cost: `swift run -c release BlockHashBenchmark`.
///
/// Prints nanoseconds of processor time per block of 16 tokens, as the median of several repeats: a
/// prompt of 1,024 tokens hashed at once, without and with extra keys; the same tokens one at a time
/// as they are decoded; and, as the floor, the hash function alone on as many bytes as one block has
/// in CBOR.
@main
enum BlockHashBenchmark {
  static let blockSize = 16
  static let blocks = 64
  /// Prompts after one another, so many that no processor learns which token is long.
  static let prompts = 1_000
  static let repeats = 9
  /// Ids of a vocabulary of 128,000 in no order: about half take three bytes, half five.
  static let tokens = {
    var state: UInt64 = 42
    return (0..<prompts * blocks * blockSize).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt32((state >> 33) % 128_000)
    }
  }()
  /// At most, without extra keys: [hash, [16 tokens], null].
  static func encodedBytes(_ hashBytes: Int) -> Int {
    1 + (hashBytes < 24 ? 1 : 2) + hashBytes + 1 + 5 * blockSize + 1
  }

  static func main() throws {
    print("nanoseconds per block of \(blockSize) tokens, median of \(repeats) repeats")
    print("                    prompt   with keys    decoding   hash alone  prompt/hash alone")
    for (name, algorithm) in [
      ("sha256_cbor", BlockHashAlgorithm.sha256CBOR), ("xxhash_cbor", .xxhashCBOR),
    ] {
      let hasher = try BlockHasher(algorithm, seed: "benchmark", blockSize: blockSize)
      let keys = try ExtraKeys(
        loraName: "adapter", loraPath: "/adapters/adapter",
        multimodal: [MultimodalItem(identifier: "image", offset: 10, length: 576)],
        cacheSalt: "salt")
      let prompt = median { self.prompt(hasher, nil) }
      let withKeys = median { self.prompt(hasher, keys) }
      let decoding = median { self.decoding(hasher) }
      let alone = median { self.alone(hasher, encodedBytes(algorithm.byteCount)) }
      print(
        name + String(repeating: " ", count: 13 - name.count) + right(prompt, " ns")
          + right(withKeys, " ns") + right(decoding, " ns") + right(alone, " ns")
          + right(prompt / alone, "x"))
    }
  }

  // MARK: What is measured

  static func prompt(_ hasher: BlockHasher, _ keys: ExtraKeys?) -> Double {
    let empty = UnsafeBufferPointer<UInt32>(start: nil, count: 0)
    let keys = keys?.bytes ?? .init(start: nil, count: 0)
    var hashes = [UInt8](repeating: 0, count: blocks * hasher.algorithm.byteCount)
    return time { tokens in
      let hashed = hasher.hashFullBlocks(
        after: nil, at: 0, tail: empty, appended: tokens, extraKeys: keys, into: &hashes)
      check(hashed == blocks)
    }
  }

  static func decoding(_ hasher: BlockHasher) -> Double {
    let size = hasher.algorithm.byteCount
    var hashes = [UInt8](repeating: 0, count: blocks * size)
    return time { tokens in
      hashes.withUnsafeMutableBufferPointer { hashes in
        guard let first = hashes.baseAddress else { return }
        for block in 0..<blocks {
          let start = block * blockSize
          let hashed = hasher.hashFullBlocks(
            after: block == 0 ? nil : UnsafePointer(first + (block - 1) * size), at: start,
            tail: .init(rebasing: tokens[start..<start + blockSize - 1]),
            appended: .init(rebasing: tokens[start + blockSize - 1..<start + blockSize]),
            extraKeys: .init(start: nil, count: 0), into: first + block * size)
          check(hashed == 1)
        }
      }
    }
  }

  static func alone(_ hasher: BlockHasher, _ count: Int) -> Double {
    var bytes = [UInt8](repeating: 7, count: count)
    return time { _ in
      bytes.withUnsafeMutableBytes { bytes in
        // Each hash enters the next message, as in a chain.
        for _ in 0..<blocks {
          hasher.digest(of: .init(bytes)).write(to: bytes.baseAddress! + 3, 16)
        }
      }
    }
  }

  // MARK: Tools

  static func check(_ condition: Bool) { precondition(condition, "the benchmark hashed nothing") }

  /// Nanoseconds per block of what `body` does with one prompt.
  static func time(_ body: (UnsafeBufferPointer<UInt32>) -> Void) -> Double {
    tokens.withUnsafeBufferPointer { tokens in
      let size = blocks * blockSize
      let start = nanoseconds()
      for i in 0..<prompts { body(.init(rebasing: tokens[i * size..<(i + 1) * size])) }
      return Double(nanoseconds() - start) / Double(prompts * blocks)
    }
  }

  /// Of this thread's own processor time, so that a busy machine does not count.
  static func nanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
  }

  static func median(_ measure: () -> Double) -> Double {
    let values = (0..<repeats).map { _ in measure() }.sorted()
    return values[repeats / 2]
  }

  static func right(_ value: Double, _ unit: String) -> String {
    let tenths = Int((value * 10).rounded())
    let text = "\(tenths / 10).\(tenths % 10)\(unit)"
    return String(repeating: " ", count: max(1, 13 - text.count)) + text
  }
}
