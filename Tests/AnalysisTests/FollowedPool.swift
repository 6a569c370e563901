import KVBlocks
import Testing

/// A pool of 8 blocks of 4 tokens that is followed, and commands of one operation.
final class Followed {
  let pool: KVPool
  let log: ChangeLog
  let outcome = Outcome()
  var now: UInt64 = 0
  var onChange: (ChangeLog, Revision, UInt64) -> Void = { _, _, _ in }

  init(blocks: UInt32 = 8) {
    pool = KVPool(
      PoolConfiguration(blocks: blocks, blockSize: 4, copyAck: .explicit, cachesPrefixes: true),
      secret: MapSecret(1, 2))
    log = pool.attachChangeLog()
  }

  func run(_ kind: KVBlocks.Operation.Kind, session: SessionID = 0) {
    #expect(pool.apply(one: kind, session: session, into: outcome) != nil)
    onChange(log, pool.revision, now)
  }

  func allocate(_ count: UInt32, session: SessionID = 0) {
    run(.allocate(count: count), session: session)
  }

  func free(_ ids: [BlockID], session: SessionID = 0) {
    ids.withUnsafeBufferPointer {
      run(.freeBlocks($0, generations: .init(start: nil, count: 0)), session: session)
    }
  }

  /// Block `ids[i]` gets the hash of 32 bytes `hashes[i]`.
  func cache(_ ids: [BlockID], _ hashes: [UInt8], session: SessionID = 0) {
    ids.withUnsafeBufferPointer { ids in
      bytes(hashes).withUnsafeBufferPointer {
        run(.cacheBlocks(ids, blockHashes: $0), session: session)
      }
    }
  }

  func acquire(_ hashes: [UInt8], session: SessionID = 0) {
    bytes(hashes).withUnsafeBufferPointer {
      run(.acquire(blockHashes: $0, count: 0), session: session)
    }
  }

  private func bytes(_ hashes: [UInt8]) -> [UInt8] {
    hashes.flatMap { [UInt8](repeating: $0, count: 32) }
  }
}
