package import KVBlocks

/// A pool that the service hosts, under its name.
package final class HostedPool {
  package let name: String
  /// The name's bytes, outside of Swift's heap objects: every call is compared with them.
  let nameBytes: UnsafeBufferPointer<UInt8>
  package private(set) var pool: KVPool
  /// Told what each command does; the pool has a change log while there are any.
  private var observers: [any PoolObserver] = [] {
    didSet { unretained = observers.map { Unretained(observer: $0) } }
  }
  private var unretained: [Unretained] = []
  /// nil where none is kept.
  var history: PoolHistory?
  /// nil where they are not measured.
  var lifetimes: PoolLifetimes?
  var waits: AdmissionWaits?
  /// Whether there are any; read after each command.
  private(set) var isObserved = false

  init(name: String, configuration: PoolConfiguration) {
    self.name = name
    nameBytes = Self.bytes(of: name)
    pool = Self.make(configuration, replacing: nil)
  }

  init(name: String, pool: KVPool) {
    self.name = name
    nameBytes = Self.bytes(of: name)
    self.pool = pool
  }

  deinit { nameBytes.deallocate() }

  private static func bytes(of name: String) -> UnsafeBufferPointer<UInt8> {
    let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: name.utf8.count)
    _ = bytes.initialize(from: name.utf8)
    return UnsafeBufferPointer(bytes)
  }

  private static func make(
    _ configuration: PoolConfiguration, replacing other: KVPool?
  ) -> KVPool {
    let complete = configuration.withSeed
    return KVPool(
      complete, replacing: other, secret: drawSecret(), hasher: PoolHasher(complete))
  }

  static func drawSecret() -> MapSecret {
    MapSecret(.random(in: .min ... .max), .random(in: .min ... .max))
  }

  /// Blocks of both tiers that are not available: held, or the ends of copies under way.
  var heldBlocks: UInt32 {
    let stats = pool.stats()
    return stats.active + stats.shared + stats.pinned + stats.hostBlocks - stats.hostFree
  }

  /// What an operator wants to know of a pool when its server ends, as a log's fields.
  package var summary: [(name: String, value: String)] {
    let stats = pool.stats()
    return [
      ("name", name), ("revision", "\(stats.revision)"), ("held_blocks", "\(heldBlocks)"),
      ("allocated_blocks", "\(stats.allocatedBlocks)"), ("freed_blocks", "\(stats.freedBlocks)"),
      ("preemptions", "\(stats.preemptions)"),
      ("refusals", "\(stats.refusals.reduce(0, +))"),
    ]
  }

  /// As created, but for the revision and the copy ids, which go on: a client that held blocks before
  /// must not see their generations again.
  func reset(to configuration: PoolConfiguration) {
    if configuration == pool.configuration.asked {
      pool.reset()
    } else {
      pool = Self.make(configuration, replacing: pool)
    }
    waits?.begin(pool)
  }

  /// Another pool is under this name from now on: one that was loaded.
  func replace(with pool: KVPool, at milliseconds: UInt64) {
    self.pool = pool
    waits?.begin(pool)
    if !isObserved { return }
    attachChangeLog()
    for observer in observers { observer.poolReplaced(pool, at: milliseconds) }
  }

  // MARK: Observers

  /// From the next command on. `observer` is told of the pool as it is first.
  package func observe(_ observer: any PoolObserver, at milliseconds: UInt64) {
    observers.append(observer)
    attachChangeLog()
    isObserved = true
    observer.poolReplaced(pool, at: milliseconds)
  }

  package func stopObserving(_ observer: any PoolObserver) {
    observers.removeAll { $0 === observer }
    isObserved = !observers.isEmpty
    if isObserved { attachChangeLog() } else { pool.detachChangeLog() }
  }

  private func attachChangeLog() {
    let isForAll = observers.contains { $0.needs == .everything }
    pool.attachChangeLog(isForAll ? .everything : .contents)
  }

  /// Whether the last command did something that observers want to know.
  @inline(__always)
  var hasNews: Bool {
    Unmanaged.passUnretained(pool)._withUnsafeGuaranteedRef { $0.changes != nil }
  }

  /// To be called when a command was applied to a pool that has a change log.
  @inline(__always)
  func tellObservers(at milliseconds: UInt64) {
    Unmanaged.passUnretained(pool)._withUnsafeGuaranteedRef { pool in
      guard let changes = pool.changes else { return }
      changes._withUnsafeGuaranteedRef { log in
        var i = 0
        // Observers come and go between commands.
        while i < unretained.count {
          unretained[i].observer.poolChanged(pool, log, at: milliseconds)
          i += 1
        }
      }
    }
  }

  /// `observers` keeps it: telling it takes no reference counting.
  private struct Unretained {
    unowned(unsafe) let observer: any PoolObserver
  }
}

/// The pools by name, in the order of their names.
///
/// Looked up by the bytes of the wire, without making a string: there are few pools, and the one
/// asked for last is asked for next.
package final class PoolRegistry {
  package struct Limits: Sendable {
    package var pools: Int
    /// A block takes 32 bytes, up to 58 more in a pool that caches prefixes, and up to 69 more for an
    /// eviction policy (`EvictionPolicies.md`): 159, which one short request can ask for at once. While a
    /// policy is switched, in a dry run too, the columns of both are there: 228. While pools are sampled,
    /// one that caches prefixes takes 8 more.
    package var blocksInAll: UInt64
    /// Bytes of the dumps that are being sent or received, all together: they lie in memory.
    package var dumpBytes: Int

    package init(pools: Int = 64, blocksInAll: UInt64 = 1 << 24, dumpBytes: Int = 1 << 30) {
      self.pools = pools
      self.blocksInAll = blocksInAll
      self.dumpBytes = dumpBytes
    }
  }

  /// A name has 1 to this many bytes of `A-Z a-z 0-9 - _ .`.
  package static let longestName = 128
  package static let defaultName = "default"

  package let limits: Limits
  package private(set) var pools: [HostedPool] = []
  private var last: Last?
  private var followers: [any RegistryFollower] = []
  private let defaultBytes = Array(PoolRegistry.defaultName.utf8)

  package init(limits: Limits = Limits()) { self.limits = limits }

  /// The pool of that name; the empty name is "default". O(pools), O(1) for the one asked for last.
  package func find(_ name: UnsafeBufferPointer<UInt8>) -> HostedPool? {
    findUnretained(name)?.takeUnretainedValue()
  }

  /// The same; valid until a pool is inserted or removed.
  @inline(__always)
  func findUnretained(_ name: UnsafeBufferPointer<UInt8>) -> Unmanaged<HostedPool>? {
    if let last, last.isAsked(by: name) { return last.pool }
    let found = name.isEmpty ? defaultBytes.withUnsafeBufferPointer { search($0) } : search(name)
    return found.map { .passUnretained($0) }
  }

  /// The pool asked for last. `pools` keeps it.
  private struct Last {
    var pool: Unmanaged<HostedPool>
    var name: UnsafeBufferPointer<UInt8>
    var isDefault: Bool

    @inline(__always)
    func isAsked(by name: UnsafeBufferPointer<UInt8>) -> Bool {
      name.isEmpty ? isDefault : PoolRegistry.equal(self.name, name)
    }
  }

  @inline(never)
  private func search(_ name: UnsafeBufferPointer<UInt8>) -> HostedPool? {
    for hosted in pools where Self.equal(hosted.nameBytes, name) {
      last = Last(
        pool: .passUnretained(hosted), name: hosted.nameBytes,
        isDefault: hosted.name == Self.defaultName)
      return hosted
    }
    return nil
  }

  fileprivate static func equal(
    _ bytes: UnsafeBufferPointer<UInt8>, _ name: UnsafeBufferPointer<UInt8>
  ) -> Bool {
    guard bytes.count == name.count else { return false }
    for index in 0..<bytes.count where bytes[index] != name[index] { return false }
    return true
  }

  package static func isName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
    guard (1...longestName).contains(name.count) else { return false }
    return name.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"),
        UInt8(ascii: "."):
        true
      default: false
      }
    }
  }

  /// Blocks of all pools, without those of `except`.
  func blocksInAll(except: HostedPool? = nil) -> UInt64 {
    pools.reduce(0) { $1 === except ? $0 : $0 + $1.pool.configuration.blocksInAll }
  }

  /// Adds a pool at start-up.
  ///
  /// - Returns: Why it cannot be added; nil when it was.
  @discardableResult
  package func add(name: String, _ configuration: PoolConfiguration) -> String? {
    var copy = name
    guard copy.withUTF8(Self.isName) else {
      return "a pool's name has 1 to \(Self.longestName) bytes of A-Z a-z 0-9 - _ ."
    }
    if pools.contains(where: { $0.name == name }) { return "there is a pool \"\(name)\" already" }
    if pools.count == limits.pools { return "there are at most \(limits.pools) pools" }
    if blocksInAll() + configuration.blocksInAll > limits.blocksInAll {
      return "there are at most \(limits.blocksInAll) blocks in all pools"
    }
    insert(HostedPool(name: name, configuration: configuration))
    return nil
  }

  func insert(_ hosted: HostedPool) {
    let index = pools.firstIndex { $0.name > hosted.name } ?? pools.count
    pools.insert(hosted, at: index)
    for follower in followers { follower.poolCame(hosted) }
  }

  func remove(_ hosted: HostedPool) {
    pools.removeAll { $0 === hosted }
    last = nil
    for follower in followers { follower.poolWent(hosted) }
  }

  /// `follower` hears of the pools that are there, and from then on of each that comes or goes.
  package func follow(_ follower: any RegistryFollower) {
    followers.append(follower)
    for hosted in pools { follower.poolCame(hosted) }
  }
}

extension PoolConfiguration {
  /// Blocks of both tiers.
  var blocksInAll: UInt64 { UInt64(blocks) + UInt64(hostBlocks) }
}
