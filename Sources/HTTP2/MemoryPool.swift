internal import CNGHTTP2
internal import Glibc

/// nghttp2's allocator: free lists of small blocks by size, for one thread.
///
/// nghttp2 takes and gives back several blocks of the same few sizes per stream and per frame. A
/// 16-byte header before each block tells its list; blocks above 1 KiB go to malloc.
struct MemoryPool {
  /// 1 << 6.
  private static let granule = 64
  private static let listCount = 17
  private static let header = 16
  /// List `n` holds blocks of `n * 64` bytes, header included; list 0 is not used.
  private let lists: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  init() {
    lists = .allocate(capacity: MemoryPool.listCount)
    lists.initialize(repeating: nil, count: MemoryPool.listCount)
  }

  func free() {
    for index in 0..<MemoryPool.listCount {
      while let block = lists[index] {
        lists[index] = block.load(as: UnsafeMutableRawPointer?.self)
        Glibc.free(block - MemoryPool.header)
      }
    }
    lists.deallocate()
  }

  /// The functions for nghttp2; valid until `free()`.
  var functions: nghttp2_mem {
    nghttp2_mem(
      mem_user_data: UnsafeMutableRawPointer(lists),
      malloc: { size, pool in MemoryPool.take(size, pool) },
      free: { block, pool in MemoryPool.give(block, pool) },
      calloc: { count, size, pool in
        let (total, overflow) = count.multipliedReportingOverflow(by: size)
        guard !overflow, let block = MemoryPool.take(total, pool) else { return nil }
        memset(block, 0, total)
        return block
      },
      realloc: { block, size, pool in
        guard let block else { return MemoryPool.take(size, pool) }
        let usable = MemoryPool.usable(block)
        if size <= usable { return block }
        guard let moved = MemoryPool.take(size, pool) else { return nil }
        memcpy(moved, block, usable)
        MemoryPool.give(block, pool)
        return moved
      })
  }

  @inline(__always)
  private static func take(
    _ size: Int, _ pool: UnsafeMutableRawPointer?
  ) -> UnsafeMutableRawPointer? {
    let index = (size &+ (header &+ granule &- 1)) >> 6
    if index >= listCount {
      guard let block = malloc(size &+ header) else { return nil }
      block.storeBytes(of: 0, as: Int.self)
      block.storeBytes(of: size, toByteOffset: 8, as: Int.self)
      return block + header
    }
    let list = pool.unsafelyUnwrapped.assumingMemoryBound(to: UnsafeMutableRawPointer?.self) + index
    if let block = list.pointee {
      // The block's number is in its header for good; the link lies where its bytes will.
      list.pointee = block.load(as: UnsafeMutableRawPointer?.self)
      return block
    }
    guard let fresh = malloc(index &* granule) else { return nil }
    fresh.storeBytes(of: index, as: Int.self)
    return fresh + header
  }

  private static func usable(_ block: UnsafeMutableRawPointer) -> Int {
    let index = (block - header).load(as: Int.self)
    return index == 0 ? (block - 8).load(as: Int.self) : index * granule - header
  }

  @inline(__always)
  private static func give(_ block: UnsafeMutableRawPointer?, _ pool: UnsafeMutableRawPointer?) {
    guard let block else { return }
    let start = block - header
    let index = start.load(as: Int.self)
    if index == 0 {
      Glibc.free(start)
      return
    }
    let list = pool.unsafelyUnwrapped.assumingMemoryBound(to: UnsafeMutableRawPointer?.self) + index
    block.storeBytes(of: list.pointee, as: UnsafeMutableRawPointer?.self)
    list.pointee = block
  }
}
