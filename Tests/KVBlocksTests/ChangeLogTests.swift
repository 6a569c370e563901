import KVBlocks
import Testing

/// What the change log says of commands, worked out by hand. A line is an entry: kind and cause, the
/// blocks (with `=` their hash, as a number, and `x` how many have it), and whose they are: a session,
/// or session/sequence.
@Suite("the change log")
struct ChangeLogTests {
  private func bench(
    _ blocks: UInt32 = 8, size: UInt32 = 4, caches: Bool = false, host: UInt32 = 0,
    options: AdmissionOptions = .init(), strategy: AllocationStrategy = .freeQueue,
    window: UInt32 = 0, classes: [SizeClass] = []
  ) -> Bench {
    var configuration = PoolConfiguration(
      blocks: blocks, blockSize: size, sizeClasses: classes, copyAck: .explicit,
      cachesPrefixes: caches, strategy: strategy, hostBlocks: host, slidingWindow: window,
      pinBudgetBlocks: caches ? 4 : 0)
    configuration.admission = options
    let bench = Bench(configuration)
    bench.pool.attachChangeLog()
    return bench
  }

  private func text(_ owner: BlockOwner) -> String {
    switch owner.kind {
    case .nobody: ""
    case .raw: " by \(owner.session)"
    case .sequence: " by \(owner.session)/\(owner.sequence)"
    case .several: " by several"
    }
  }

  private func lines(_ pool: KVPool) -> [String] {
    guard let log = pool.changeLog else { return ["no log"] }
    return log.entries.elements.map { entry in
      var line = "\(entry.kind)" + (entry.cause == .none ? "" : ".\(entry.cause)")
      let contents = log.contents(of: entry)
      for (i, id) in log.blocks(of: entry).enumerated() {
        line += " \(id)"
        if contents.count > 0 { line += "=\(contents[i].hash.words.0)x\(contents[i].copies)" }
      }
      if let parent = log.parent(of: entry) { line += " after \(parent.words.0)" }
      if entry.kind == .stored && entry.tableIndex > 0 { line += " at \(entry.tableIndex)" }
      for copy in log.copies(of: entry) {
        line += " #\(copy.id):\(copy.source)>\(copy.target)x\(copy.tokens)"
      }
      for child in log.children(of: entry) { line += " \(child)" }
      line += text(entry.owner)
      if entry.tier == .host { line += " on host" }
      return line + (entry.sizeClass > 0 ? " in class \(entry.sizeClass)" : "")
    }
  }

  private func run(
    _ bench: Bench, _ kind: TestOperation.Kind, session: SessionID = 0
  ) -> [String] {
    bench.run(kind, session: session)
    return lines(bench.pool)
  }

  private func admit(
    _ bench: Bench, _ id: SequenceID, _ tokens: UInt32, _ hashes: [UInt64] = [],
    lookahead: UInt32 = 0
  ) -> [String] {
    let new = TestOperation.New(id: id, tokens: tokens, hashes: hashes)
    return run(bench, .admit(.init(id: id, add: new, lookahead: lookahead)))
  }

  private func free(_ bench: Bench, _ id: SequenceID) -> [String] { run(bench, .free([id])) }

  // MARK: References

  @Test("raw blocks are handed out, shared and released, in the order of the lists")
  func raw() {
    let bench = bench()
    #expect(run(bench, .allocate(3), session: 7) == ["handedOut 1 2 3 by 7"])
    #expect(run(bench, .forkBlocks([3]), session: 7) == ["shared 3 by 7"])
    #expect(run(bench, .forkBlocks([3, 1]), session: 9) == ["shared 3 1 by 9"])
    #expect(run(bench, .freeBlocks([3, 2, 3]), session: 7) == ["released.free 3 2 3 by 7"])
    #expect(run(bench, .freeBlocks([1]), session: 7) == ["released.free 1 by 7"])
    #expect(bench.pool.owner(of: 1) == BlockOwner(.several))
    #expect(run(bench, .freeBlocks([1, 3]), session: 9) == ["released.free 1 3 by 9"])
    #expect(bench.pool.mark(of: 1) == .free)
    #expect(run(bench, .allocate(2), session: 9) == ["handedOut 1 3 by 9"])
    #expect(bench.pool.owner(of: 3) == BlockOwner(.raw, session: 9))
    #expect(run(bench, .freeBlocks([1, 3]), session: 9) == ["released.free 1 3 by 9"])
  }

  @Test("a sequence's blocks are released tail first, and the entry says why")
  func sequences() {
    let bench = bench()
    #expect(admit(bench, 1, 9) == ["handedOut 1 2 3 by 0/1"])
    #expect(run(bench, .preempt([1])) == ["released.preemption 3 2 1 by 0/1"])
    #expect(run(bench, .admit(.init(id: 1))) == ["handedOut 3 2 1 by 0/1"])
    let rewind = Rewind(sequence: 1, dropTokens: 4, releasesBlocks: true)
    #expect(run(bench, .rewind(rewind)) == ["released.rewind 1 by 0/1"])
    #expect(run(bench, .add(.init(id: 2, tokens: 5))) == [])
    #expect(free(bench, 1) == ["released.free 2 3 by 0/1"])
  }

  @Test("a window that moves releases what is behind it before anything is handed out")
  func window() {
    let bench = bench(window: 8)
    #expect(admit(bench, 1, 12) == ["handedOut 1 2 3 by 0/1"])
    // 12 - 8 + 1 = 5 tokens are behind the window of the next one: one block.
    #expect(
      run(bench, .extend(Extend(sequence: 1, appendTokens: 1)))
        == ["released.window 1 by 0/1", "handedOut 1 by 0/1"])
  }

  @Test("a fork names parent and children, then what each child shares")
  func fork() {
    let bench = bench()
    _ = admit(bench, 1, 6)
    #expect(
      run(bench, .fork(1, [5, 6]))
        == ["sequenceForked 5 6 by 0/1", "shared 1 2 by 0/5", "shared 1 2 by 0/6"])
    // The second block is half full: its next writer gets a copy.
    #expect(
      run(bench, .extend(Extend(sequence: 6, appendTokens: 1))) == [
        "handedOut 3 by 0/6", "released.copy 2 by 0/6", "copied 2 3 #1:2>3x2 by 0/6",
      ])
    #expect(run(bench, .acknowledge([1])) == ["unpinned.acknowledgement 2 3 by 0"])
    _ = run(bench, .add(.init(id: 8, tokens: 5)))
    #expect(run(bench, .fork(8, [9])) == ["sequenceForked 9 by 0/8"])
  }

  @Test("a raw copy on write: target, source, the copy, and its end")
  func copy() {
    let bench = bench()
    _ = run(bench, .allocate(1), session: 7)
    _ = run(bench, .forkBlocks([1]), session: 7)
    #expect(
      run(bench, .copyOnWrite(1, filled: 3), session: 7)
        == ["handedOut 2 by 7", "released.copy 1 by 7", "copied 1 2 #1:1>2x3 by 7"])
    #expect(run(bench, .freeBlocks([1]), session: 7) == ["released.free 1 by 7"])
    #expect(bench.pool.mark(of: 1).state == .pinned)
    #expect(
      run(bench, .acknowledge([], upTo: 1), session: 7) == ["unpinned.acknowledgement 1 2 by 7"])
    #expect(bench.pool.mark(of: 1) == .free)
  }

  // MARK: Content

  @Test("stored with the parent, hit, and evicted before the block is handed out anew")
  func content() {
    let bench = bench(4, caches: true)
    #expect(
      admit(bench, 1, 9, [11, 12]) == ["handedOut 1 2 3 by 0/1", "stored 1=11x1 2=12x1 by 0/1"])
    #expect(
      run(bench, .extend(Extend(sequence: 1, appendTokens: 3), hashes: [13]))
        == ["stored 3=13x1 after 12 at 2 by 0/1"])
    #expect(free(bench, 1) == ["released.free 3 2 1 by 0/1"])
    #expect(bench.pool.mark(of: 3).state == .cached && bench.pool.mark(of: 3).hasContent)
    #expect(admit(bench, 2, 9, [11, 12]) == ["hit 1 2 by 0/2", "handedOut 4 by 0/2"])
    #expect(run(bench, .allocate(1)) == ["evicted.handOut 3=13x0 by 0", "handedOut 3 by 0"])
    _ = free(bench, 2)
    #expect(run(bench, .acquire([11], 0), session: 7) == ["hit 1 by 7"])
  }

  @Test("the removals that an allocation causes precede what it stores, in one entry")
  func order() {
    let bench = bench(3, caches: true)
    _ = admit(bench, 1, 9, [11, 12])
    _ = free(bench, 1)
    // The queue is 3 2 1.
    #expect(
      admit(bench, 2, 12, [21, 22, 23]) == [
        "evicted.handOut 2=12x0 1=11x0 by 0/2", "handedOut 3 2 1 by 0/2",
        "stored 3=21x1 2=22x1 1=23x1 by 0/2",
      ])
  }

  @Test("content that several blocks have is counted down to its last copy")
  func copies() {
    let bench = bench(4, caches: true)
    _ = run(bench, .allocate(3))
    #expect(run(bench, .cacheBlocks([1, 2, 3], [5, 5, 5])) == ["stored 1=5x1 2=5x2 3=5x3 by 0"])
    #expect(run(bench, .evictBlocks([1]), session: 9) == ["evicted.request 1=5x2"])
    #expect(run(bench, .evictBlocks([3, 2, 2])) == ["evicted.request 3=5x1 2=5x0 by 0"])
  }

  @Test("a block that has content already splits what is stored in two, each with its parent")
  func hole() {
    let bench = bench(4, caches: true)
    _ = run(bench, .allocate(3))
    _ = run(bench, .cacheBlocks([2], [12]))
    #expect(
      run(bench, .cacheBlocks([1, 2, 3], [11, 12, 13]))
        == ["stored 1=11x1 by 0", "stored 3=13x1 after 12 by 0"])
  }

  @Test("raw blocks are stored behind the parent that their client names")
  func parent() {
    let bench = bench(4, caches: true)
    _ = run(bench, .allocate(1))
    var hash = [UInt8](repeating: 0, count: 32)
    hash[0] = 12
    var parent = hash
    parent[0] = 11
    let ids: [BlockID] = [1]
    ids.withUnsafeBufferPointer { ids in
      hash.withUnsafeBufferPointer { hash in
        parent.withUnsafeBufferPointer {
          _ = bench.pool.apply(
            one: .cacheBlocks(ids, blockHashes: hash, parentHash: $0), into: Outcome())
        }
      }
    }
    #expect(lines(bench.pool) == ["stored 1=12x1 after 11 by 0"])
  }

  @Test("content is lost ahead of need, by a rewind and by a write, and the entry says so")
  func lost() {
    let bench = bench(4, caches: true, options: .init(proactiveFreeBlocks: 3))
    _ = admit(bench, 1, 9, [11, 12])
    _ = free(bench, 1)
    // The queue is 3 4 2 1.
    #expect(run(bench, .flush) == ["evicted.ahead 2=12x0"])
    _ = admit(bench, 2, 8, [21, 22])
    let rewind = Rewind(sequence: 2, dropTokens: 5, releasesBlocks: true)
    #expect(
      run(bench, .rewind(rewind))
        == ["evicted.rewind 3=21x0 4=22x0 by 0/2", "released.rewind 4 by 0/2"])
    _ = run(bench, .allocate(1))
    _ = run(bench, .cacheBlocks([4], [5]))
    #expect(run(bench, .copyOnWrite(4, filled: 3)) == ["evicted.overwrite 4=5x0 by 0"])
  }

  @Test("a reset of the cache names what is lost and says that all is; a reset of the pool says it")
  func reset() {
    let bench = bench(4, caches: true)
    _ = admit(bench, 1, 9, [11, 12])
    _ = free(bench, 1)
    #expect(
      run(bench, .resetPrefixCache) == ["evicted.reset 1=11x0 2=12x0 by 0", "cleared.reset"])
    #expect(run(bench, .resetPrefixCache) == [])
    _ = admit(bench, 1, 9, [11, 12])
    bench.pool.reset()
    #expect(lines(bench.pool) == ["cleared.pool"])
    #expect(admit(bench, 1, 4, [11]) == ["handedOut 1 by 0/1", "stored 1=11x1 by 0/1"])
  }

  @Test("copies are counted anew where content is gone, however many there were")
  func copiesAfterReset() {
    let bench = bench(4, caches: true)
    _ = run(bench, .allocate(3))
    #expect(run(bench, .cacheBlocks([1, 2, 3], [5, 5, 5])) == ["stored 1=5x1 2=5x2 3=5x3 by 0"])
    bench.pool.reset()
    _ = run(bench, .allocate(2))
    #expect(run(bench, .cacheBlocks([1, 2], [5, 5])) == ["stored 1=5x1 2=5x2 by 0"])
    #expect(run(bench, .evictBlocks([1])) == ["evicted.request 1=5x1 by 0"])
    #expect(run(bench, .evictBlocks([2])) == ["evicted.request 2=5x0 by 0"])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("a pool that takes the place of another goes on with its log")
  func replaced() {
    let bench = bench(4)
    _ = run(bench, .allocate(1), session: 7)
    let log = bench.pool.changeLog
    let next = Bench(KVPool(bench.pool.configuration, replacing: bench.pool))
    #expect(bench.pool.changeLog == nil)
    #expect(next.pool.changeLog === log && log != nil)
    #expect(lines(next.pool) == ["cleared.pool"])
    #expect(run(next, .allocate(1), session: 8) == ["handedOut 1 by 8"])
    next.pool.detachChangeLog()
    #expect(log?.isEmpty == true)
    next.run(.allocate(1))
    #expect(log?.isEmpty == true)
  }

  @Test("a log of contents names who stored, and not who takes, hits, shares or gives back")
  func contents() {
    let bench = bench(4, caches: true)
    let log = bench.pool.changeLog
    #expect(bench.pool.attachChangeLog(.contents) === log)
    #expect(admit(bench, 1, 9, [11, 12]) == ["stored 1=11x1 2=12x1 by 0/1"])
    #expect(free(bench, 1) == [])
    #expect(admit(bench, 2, 9, [11, 12]) == [])
    #expect(free(bench, 2) == [])
    // Of block 3, 4, 2 and 1 in this order two lose their content, one by one.
    #expect(run(bench, .allocate(4), session: 7) == ["evicted.handOut 2=12x0 1=11x0"])
    // A pool that takes its place has a log of the same.
    let next = Bench(KVPool(bench.pool.configuration, replacing: bench.pool))
    #expect(run(next, .allocate(1), session: 7) == [])
    next.pool.attachChangeLog()
    #expect(run(next, .allocate(1), session: 7) == ["handedOut 2 by 7"])
  }

  @Test("pins name the prefix, and its end from the last block on")
  func pins() {
    let bench = bench(4, caches: true)
    _ = admit(bench, 1, 9, [11, 12])
    _ = free(bench, 1)
    #expect(run(bench, .pin([11, 12]), session: 7) == ["pinned.prefix 1 2 by 7"])
    #expect(bench.pool.mark(of: 2).isPinned && bench.pool.mark(of: 2).state == .pinned)
    #expect(
      run(bench, .pin([11, 12], unpins: true), session: 7) == ["unpinned.prefix 2 1 by 7"])
  }

  // MARK: Elsewhere

  @Test("swapping out and in names the blocks of both tiers")
  func swap() {
    let bench = bench(host: 4)
    _ = admit(bench, 1, 6)
    #expect(
      run(bench, .swapOut([1])) == [
        "handedOut 1 by 0/1 on host", "handedOut 2 by 0/1 on host",
        "moved.swapOut 2 1 #1:2>2x2 #2:1>1x4 by 0/1", "released.swapOut 2 1 by 0/1",
      ])
    #expect(
      run(bench, .acknowledge([], upTo: 2)) == [
        "unpinned.acknowledgement 2 by 0", "unpinned.acknowledgement 2 by 0 on host",
        "unpinned.acknowledgement 1 by 0", "unpinned.acknowledgement 1 by 0 on host",
      ])
    #expect(bench.pool.mark(of: 1, on: .host).state == .active)
    // The queue is 2 1 3 ...
    #expect(
      run(bench, .swapIn([1])) == [
        "handedOut 2 by 0/1", "handedOut 1 by 0/1", "moved.swapIn 2 1 #3:1>2x4 #4:2>1x2 by 0/1",
        "released.swapIn 2 1 by 0/1 on host",
      ])
  }

  @Test("a move is ordered, and made with its acknowledgement")
  func move() {
    let bench = bench(caches: true)
    _ = admit(bench, 1, 4, [11])
    _ = admit(bench, 2, 4, [12])
    _ = free(bench, 1)
    let revision = bench.pool.revision
    #expect(
      run(bench, .applyDefragment(revision, [BlockMove(source: 2, target: 1)])) == [
        "evicted.defragment 1=11x0", "moveOrdered.defragment 2 1 #1:2>1x4 by 0/2",
      ])
    #expect(
      run(bench, .acknowledge([1])) == [
        "moved.defragment 2 1 #1:2>1x4 by 0/2", "unpinned.acknowledgement 2 1 by 0",
      ])
    #expect(bench.pool.content(1)?.words.0 == 12 && bench.pool.mark(of: 2) == .free)
  }

  @Test("lazy frees wait, and are flushed in the order in which they came")
  func lazy() {
    let bench = bench(options: .init(lazyFreeBatch: 3))
    _ = run(bench, .allocate(4))
    _ = run(bench, .forkBlocks([2]))
    #expect(run(bench, .freeBlocks([2, 1])) == ["released.free 2 1 by 0", "lazilyFreed 1"])
    #expect(bench.pool.mark(of: 1).state == .pending && bench.pool.mark(of: 1).isAvailable)
    #expect(
      run(bench, .freeBlocks([4, 2]))
        == ["released.free 4 2 by 0", "lazilyFreed 4 2", "flushed 1 4 2"])
    _ = run(bench, .freeBlocks([3]))
    #expect(run(bench, .flush) == ["flushed 3"])
  }

  @Test("what a strategy rounds up is nobody's, and comes back with the rest of its run")
  func rounding() {
    let bench = bench(strategy: .buddy)
    #expect(run(bench, .allocate(3)) == ["handedOut 1 2 3 by 0", "handedOut.rounding 4"])
    #expect(bench.pool.mark(of: 4).holder == .rounding)
    #expect(run(bench, .freeBlocks([1])) == ["released.free 1 by 0"])
    #expect(run(bench, .freeBlocks([2, 3])) == ["released.free 2 3 by 0", "released.rounding 4"])
  }

  @Test("an entry is of one size class")
  func classes() {
    let bench = bench(
      classes: [
        SizeClass(blockSize: 4, blocks: 5, maxExpectedTokens: 8),
        SizeClass(blockSize: 8, blocks: 3),
      ])
    #expect(run(bench, .place(1, sizeClass: 2)) == ["handedOut 6 by 0 in class 1"])
    #expect(run(bench, .allocate(2)) == ["handedOut 1 2 by 0"])
    #expect(
      run(bench, .freeBlocks([1, 2, 6]))
        == ["released.free 1 2 by 0", "released.free 6 by 0 in class 1"])
  }

  // MARK: Undo and memory

  @Test("a dry run, an abort and a refusal leave nothing, and count no copies")
  func undone() {
    let bench = bench(4, caches: true)
    _ = run(bench, .allocate(2))
    _ = run(bench, .cacheBlocks([1, 2], [5, 5]))
    var command = TestCommand(operations: [TestOperation(.evictBlocks([1, 2]))])
    command.isDryRun = true
    _ = bench.apply(command)
    #expect(lines(bench.pool) == [])
    command.isDryRun = false
    command.operations += [
      TestOperation(.allocate(1)), TestOperation(.allocate(9), onRefusal: .abort),
    ]
    #expect(bench.apply(command).refusal.reason == .never)
    #expect(lines(bench.pool) == [])
    #expect(run(bench, .freeBlocks([1, 2, 3])) == [])
    command = TestCommand(ifRevision: 99, operations: [TestOperation(.allocate(1))])
    #expect(bench.apply(command).refusal.reason == .revisionMoved)
    #expect(lines(bench.pool) == [])
    #expect(run(bench, .evictBlocks([1, 2])) == ["evicted.request 1=5x1 2=5x0 by 0"])
    #expect(bench.pool.checkInvariants() == nil)
  }

  @Test("of a command of many operations, those that were refused leave nothing")
  func refused() {
    let bench = bench(4)
    _ = bench.apply(
      TestCommand(
        session: 3,
        operations: [
          TestOperation(.allocate(1)), TestOperation(.allocate(4)),
          TestOperation(.freeBlocks([1, 1])), TestOperation(.allocate(2)),
        ]))
    #expect(lines(bench.pool) == ["handedOut 1 by 3", "handedOut 2 3 by 3"])
    #expect(bench.pool.changeLog?.session == 3)
  }

  @Test("what one huge command took is given back with the next one")
  func memory() {
    let bench = bench(400_000)
    _ = bench.run(.allocate(400_000))
    #expect((bench.pool.changeLog?.memory ?? 0) >= 1_600_000)
    _ = bench.run(.add(.init(id: 1, tokens: 1)))
    #expect((bench.pool.changeLog?.memory ?? .max) < 100_000)
  }

  @Test("of a sequence of 6 tokens with lookahead, one block is full, one partly and one empty")
  func fill() {
    let bench = bench()
    #expect(admit(bench, 1, 6, lookahead: 5) == ["handedOut 1 2 3 by 0/1"])
    #expect((1...4).map { bench.pool.fill(of: $0) } == [.full, .partly, .empty, .unknown])
    #expect(
      bench.pool.nextTail(from: 0)?.tail
        == SequenceTail(
          session: 0, sequence: 1, block: 2, filledSlots: 2, blockSize: 4, blocks: 3, emptyBlocks: 1
        ))
    let next = bench.pool.nextTail(from: 0)?.next ?? 0
    #expect(bench.pool.nextTail(from: next) == nil)
  }
}
