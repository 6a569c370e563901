/// Extra keys as bytes, read where they lie: who keeps a sequence's keys need not know their form, and
/// a block costs no allocation.
///
///     7 numbers     bytes of the LoRA key, the salt's, the tenant's and of all items' keys; items;
///                   bytes of the digests; 1 if there are digests
///     3 an item     tokens before it, its tokens, where its key ends among the items' keys
///     the keys, then the items' keys, then the digests
///
/// Numbers are 32 bits, little endian, unaligned; a key is CBOR, an item's without its offset. Does not
/// check the bytes: `isWellFormed` does. Finding a block's items takes O(log items).
package struct ExtraKeysView {
  private let bytes: UnsafeRawBufferPointer

  /// The bytes of `ExtraKeys`, borrowed.
  package init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  static let digestBytes = 32
  private static let headNumbers = 7
  private static let itemNumbers = 3
  private static let promptEmbeds: [UInt8] = [0x82, 0x6D] + Array("prompt_embeds".utf8)
  /// SHA-256 of nothing: vLLM hashes an empty slice for blocks behind the embeddings.
  private static let emptyDigest: [UInt8] = [
    0xE3, 0xB0, 0xC4, 0x42, 0x98, 0xFC, 0x1C, 0x14, 0x9A, 0xFB, 0xF4, 0xC8, 0x99, 0x6F, 0xB9, 0x24,
    0x27, 0xAE, 0x41, 0xE4, 0x64, 0x9B, 0x93, 0x4C, 0xA4, 0x95, 0x99, 0x1B, 0x78, 0x52, 0xB8, 0x55,
  ]

  /// What the bytes are put together from.
  struct Parts {
    struct Item {
      var offset: UInt32
      var length: UInt32
      var key: [UInt8]
    }
    var lora: [UInt8] = []
    var salt: [UInt8] = []
    var tenant: [UInt8] = []
    var items: [Item] = []
    var digests: [UInt8]?

    var bytes: [UInt8] {
      var numbers = [lora.count, salt.count, tenant.count].map { UInt32($0) }
      numbers.append(items.reduce(0) { $0 + UInt32($1.key.count) })
      numbers.append(UInt32(items.count))
      numbers.append(UInt32(digests?.count ?? 0))
      numbers.append(digests == nil ? 0 : 1)
      var end: UInt32 = 0
      for item in items {
        end += UInt32(item.key.count)
        numbers += [item.offset, item.length, end]
      }
      var bytes: [UInt8] = []
      for number in numbers {
        for shift in stride(from: 0, to: 32, by: 8) {
          bytes.append(UInt8(truncatingIfNeeded: number >> UInt32(shift)))
        }
      }
      bytes += lora + salt + tenant
      for item in items { bytes += item.key }
      return bytes + (digests ?? [])
    }
  }

  // MARK: Reading

  @inline(__always)
  private func number(_ index: Int) -> Int {
    Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self)))
  }

  private var loraBytes: Int { number(0) }
  private var saltBytes: Int { number(1) }
  private var tenantBytes: Int { number(2) }
  private var itemKeyBytes: Int { number(3) }
  private var itemCount: Int { number(4) }
  private var allDigestBytes: Int { number(5) }
  private var hasDigests: Bool { number(6) == 1 }

  private func itemNumber(_ item: Int, _ which: Int) -> Int {
    number(Self.headNumbers + Self.itemNumbers * item + which)
  }
  private func offset(_ item: Int) -> Int { itemNumber(item, 0) }
  private func end(_ item: Int) -> Int { itemNumber(item, 0) + itemNumber(item, 1) }

  private var loraStart: Int { 4 * (Self.headNumbers + Self.itemNumbers * itemCount) }
  private var saltStart: Int { loraStart + loraBytes }
  private var tenantStart: Int { saltStart + saltBytes }
  private var itemKeysStart: Int { tenantStart + tenantBytes }
  private var digestsStart: Int { itemKeysStart + itemKeyBytes }

  private func part(_ start: Int, _ count: Int) -> UnsafeRawBufferPointer {
    .init(rebasing: bytes[start..<start + count])
  }

  /// Whether the bytes are as `Parts` puts them together; whoever takes bytes from elsewhere asks
  /// before anything else. The keys themselves are only bytes to copy.
  package var isWellFormed: Bool {
    guard bytes.count >= 4 * Self.headNumbers, number(6) <= 1 else { return false }
    guard itemCount <= (bytes.count - 4 * Self.headNumbers) / (4 * Self.itemNumbers) else {
      return false
    }
    guard digestsStart + allDigestBytes == bytes.count, allDigestBytes % Self.digestBytes == 0,
      hasDigests || allDigestBytes == 0
    else { return false }
    var tokens = 0
    var keys = 0
    for item in 0..<itemCount {
      let keyEnd = itemNumber(item, 2)
      if offset(item) < tokens || keyEnd < keys || end(item) == offset(item) { return false }
      tokens = end(item)
      keys = keyEnd
    }
    return keys == itemKeyBytes
  }

  /// The LoRA's name, UTF-8; empty = none. Borrowed from the keys.
  package var loraName: UnsafeRawBufferPointer {
    let key = part(loraStart, loraBytes)
    // An array of three texts, of which the first is "lora". A name has at most 65,535 bytes.
    let head = 6
    if key.count <= head { return UnsafeRawBufferPointer(start: nil, count: 0) }
    var begin = head + 1
    var count = Int(key[head] & 31)
    if count == 24 {
      count = Int(key[begin])
      begin += 1
    } else if count == 25 {
      count = Int(key[begin]) << 8 | Int(key[begin + 1])
      begin += 2
    }
    return UnsafeRawBufferPointer(rebasing: key[begin..<begin + count])
  }

  /// More bytes than the keys of any one block.
  var maximumBytes: Int {
    bytes.count + CBORBuffer.headBytes * (itemCount + 2) + Self.promptEmbeds.count
      + Self.digestBytes
  }

  /// Bytes of keys in the hashes of the blocks of the tokens `start..<end`, without what CBOR puts
  /// round them; both are multiples of the block size. O(items that overlap the blocks).
  package func bytesHashed(
    from start: Int, to end: Int, blockSize: Int, lookahead: Int
  ) -> UInt64 {
    if start >= end { return 0 }
    let digest = hasDigests ? Self.promptEmbeds.count + Self.digestBytes : 0
    var bytes = UInt64((end - start) / blockSize) * UInt64(loraBytes + digest)
    if start == 0 { bytes += UInt64(saltBytes + tenantBytes) }
    var item = firstItem(endingAfter: start)
    while item < itemCount, offset(item) < end + lookahead {
      let key = itemNumber(item, 2) - (item == 0 ? 0 : itemNumber(item - 1, 2))
      // From the first block whose tokens, with those ahead, reach the item to the last one before
      // its end.
      let before = max(offset(item) - lookahead, start)
      let first = before / blockSize
      let last = (min(self.end(item), end) - 1) / blockSize
      if first <= last { bytes += UInt64(last - first + 1) * UInt64(key) }
      item += 1
    }
    return bytes
  }

  // MARK: Writing

  /// Writes the keys of the block of the tokens `start..<end`, which is the `index`-th.
  func write(to buffer: inout CBORBuffer, block index: Int, _ start: Int, _ end: Int) {
    let first = firstItem(endingAfter: start)
    var last = first
    while last < itemCount, offset(last) < end { last += 1 }
    let isFirstBlock = start == 0
    let count =
      (loraBytes > 0 ? 1 : 0) + (last - first) + (isFirstBlock && saltBytes > 0 ? 1 : 0)
      + (hasDigests ? 1 : 0) + (isFirstBlock && tenantBytes > 0 ? 1 : 0)
    guard count > 0 else {
      buffer.null()
      return
    }
    buffer.head(.array, UInt64(count))
    buffer.raw(part(loraStart, loraBytes))
    for i in first..<last {
      let key = i == 0 ? 0 : itemNumber(i - 1, 2)
      buffer.raw(part(itemKeysStart + key, itemNumber(i, 2) - key))
      buffer.integer(Int64(offset(i) - start))
    }
    if isFirstBlock { buffer.raw(part(saltStart, saltBytes)) }
    if hasDigests { putDigest(index, to: &buffer) }
    if isFirstBlock { buffer.raw(part(tenantStart, tenantBytes)) }
  }

  private func firstItem(endingAfter start: Int) -> Int {
    var low = 0
    var high = itemCount
    while low < high {
      let middle = (low + high) / 2
      if end(middle) <= start { low = middle + 1 } else { high = middle }
    }
    return low
  }

  private func putDigest(_ index: Int, to buffer: inout CBORBuffer) {
    Self.promptEmbeds.withUnsafeBytes { buffer.raw($0) }
    let start = index * Self.digestBytes
    if start < allDigestBytes {
      buffer.byteString(part(digestsStart + start, Self.digestBytes))
    } else {
      Self.emptyDigest.withUnsafeBytes { buffer.byteString($0) }
    }
  }
}
