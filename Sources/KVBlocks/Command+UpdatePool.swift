/// What may change about a pool while it is used; nil = as it is.
package struct PoolUpdate: BitwiseCopyable {
  package var eviction: EvictionPolicy?
  /// Share of the pool, at least 0 and less than 1.
  package var watermark: Double?
  /// At most the pool's blocks.
  package var proactiveFreeBlocks: UInt32?
  /// At most 65,536, and 0 where allocations need runs.
  package var lazyFreeBatch: UInt32?

  package init(
    eviction: EvictionPolicy? = nil, watermark: Double? = nil, proactiveFreeBlocks: UInt32? = nil,
    lazyFreeBatch: UInt32? = nil
  ) {
    self.lazyFreeBatch = lazyFreeBatch
    self.proactiveFreeBlocks = proactiveFreeBlocks
    self.eviction = eviction
    self.watermark = watermark
  }
}

extension Digest {
  mutating func add(_ update: PoolUpdate) {
    add(UInt64(update.eviction?.rawValue ?? 0))
    add(update.watermark == nil ? 0 : 1, update.watermark?.bitPattern ?? 0)
    if let blocks = update.proactiveFreeBlocks { add(1, UInt64(blocks)) }
    if let batch = update.lazyFreeBatch { add(2, UInt64(batch)) }
  }
}

extension KVPool {
  /// Changes the pool's options, all or none. What is as asked for already is no change.
  func updatePool(_ update: PoolUpdate) throws(Refusal) {
    var new = configuration
    if let watermark = update.watermark {
      // Also refuses what is no number.
      guard watermark >= 0 && watermark < 1 else { throw Refusal(.invalid, field: .watermark) }
      // 0 and -0 are the same share; a pool has one of them.
      new.watermark = watermark == 0 ? 0 : watermark
    }
    if let eviction = update.eviction {
      if eviction != .lru && !configuration.cachesPrefixes {
        throw Refusal(.invalid, field: .eviction)
      }
      if eviction != .lru && hasClasses {
        throw Refusal(.invalid, field: .eviction, limit: UInt64(shapes.count))
      }
      new.eviction = eviction
    }
    if let count = update.proactiveFreeBlocks {
      let limit = configuration.cachesPrefixes && !hasClasses ? blocks.capacity : 0
      if count > limit {
        throw Refusal(.invalid, field: .proactiveFreeBlocks, limit: UInt64(limit))
      }
      new.admission.proactiveFreeBlocks = count
    }
    if let batch = update.lazyFreeBatch {
      let limit = configuration.strategy.needsRuns ? 0 : AdmissionOptions.maximumLazyFreeBatch
      if batch > limit { throw Refusal(.invalid, field: .lazyFreeBatch, limit: UInt64(limit)) }
      new.admission.lazyFreeBatch = batch
    }
    if new == configuration { return }
    if new.admission.lazyFreeBatch != configuration.admission.lazyFreeBatch {
      blocks.setLazyBatch(new.admission.lazyFreeBatch)
    }
    if new.eviction != configuration.eviction {
      blocks.setEviction(new.eviction, now: new.eviction == .priority ? readClock() : 0)
    }
    configuration = new
    run.changed = true
  }
}
