import KVBlocks
import Testing

/// The bytes of a dump of the pool.
func dump(_ pool: KVPool) -> [UInt8] {
  var bytes = FlatList<UInt8>()
  pool.dump(into: &bytes)
  return Array(bytes.elements)
}

func load(_ bytes: [UInt8], secret: MapSecret = MapSecret()) throws(StateFailure) -> KVPool {
  do {
    return try bytes.withUnsafeBytes {
      try KVPool(loading: $0, secret: secret) { TestHasher($0) }
    }
  } catch let failure as StateFailure {
    throw failure
  } catch {
    preconditionFailure("\(error)")
  }
}

/// The bytes with the checksum that they should have.
func sealed(_ bytes: [UInt8]) -> [UInt8] {
  var bytes = bytes
  bytes.withUnsafeMutableBytes { KVPool.seal($0) }
  return bytes
}

/// What the bytes are refused with; nil when they are loaded.
func refusal(of bytes: [UInt8]) -> StateFailure? {
  do throws(StateFailure) {
    _ = try load(bytes)
    return nil
  } catch {
    return error
  }
}

/// A pool out of a dump of this one, once it is found to be the same; nil with an issue if it is not.
func reloaded(_ pool: KVPool) -> KVPool? {
  let bytes = dump(pool)
  do throws(StateFailure) {
    let loaded = try load(bytes, secret: MapSecret(pool.revision &* 0x9E37_79B9, 7))
    #expect(loaded.configuration == pool.configuration)
    #expect(loaded.revision == pool.revision)
    #expect(loaded.stateDigest() == pool.stateDigest())
    #expect(loaded.historyDigest == pool.historyDigest)
    #expect(loaded.stats() == pool.stats())
    #expect(loaded.layout() == pool.layout())
    #expect(loaded.freeQueue() == pool.freeQueue())
    #expect(dump(loaded) == bytes)
    return loaded
  } catch {
    Issue.record("a dump is not loaded: \(error)")
    return nil
  }
}
