import KVBlocks
import TestSupport
import Testing

/// Plans against a search of everything that moves can do to a small pool: a move takes any block
/// that may move to any that is available, and nothing more is known about it.
@Suite("defragment: no fewer moves would do")
struct DefragmentSearchTests {
  /// What a block is: 0 available, -1 fixed, 1... entry of the table, 100 any other that may move.
  typealias Cells = [Int]

  /// Fewest moves from these cells to some that are as wanted, at most `limit`; nil = none is met.
  private func fewest(_ start: Cells, limit: Int = .max, _ isGoal: (Cells) -> Bool) -> Int? {
    var seen: Set<Cells> = [start]
    var front = [start]
    var moves = 0
    while !front.isEmpty {
      if front.contains(where: isGoal) { return moves }
      if moves == limit { return nil }
      var next: [Cells] = []
      for cells in front {
        for source in cells.indices where cells[source] > 0 {
          for target in cells.indices where cells[target] == 0 {
            var moved = cells
            moved.swapAt(source, target)
            if seen.insert(moved).inserted { next.append(moved) }
          }
        }
      }
      front = next
      moves += 1
    }
    return nil
  }

  private func longest(_ cells: Cells) -> Int {
    cells.split { $0 != 0 }.map(\.count).max() ?? 0
  }

  private func isTogether(_ cells: Cells, _ count: Int) -> Bool {
    guard let first = cells.firstIndex(of: 1), first + count <= cells.count else { return false }
    return (0..<count).allSatisfy { cells[first + $0] == $0 + 1 }
  }

  /// Sequences 1... of one block each and sequence 100 of `length`, at random places; some blocks
  /// have a raw holder beside.
  private func scattered(
    _ random: inout SplitMix64, blocks: Int, length: Int
  ) -> (bench: Bench, cells: Cells) {
    let all = Array(1...BlockID(blocks))
    let bench = Bench.singles(UInt32(blocks), held: all)
    var gone = all.shuffled(using: &random)
    gone.removeLast(Int(random.next() % UInt64(blocks - length + 1)))
    for block in gone { bench.run(.free([SequenceID(block)])) }
    if length > 0 { bench.admit(100, UInt32(16 * length)) }
    let table = bench.table(100)
    let held = all.filter { bench.pool.block($0).refCount > 0 }
    let fixed = held.filter { _ in random.next() % 7 == 0 }
    if !fixed.isEmpty { bench.run(.forkBlocks(fixed)) }
    let cells = all.map { block -> Int in
      if let entry = table.firstIndex(of: block) { return fixed.contains(block) ? -1 : entry + 1 }
      if !held.contains(block) { return 0 }
      return fixed.contains(block) ? -1 : 100
    }
    return (bench, cells)
  }

  @Test("n contiguous takes as few moves as any way to make such a run", arguments: [1, 2, 3])
  func contiguous(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<60 {
      let (bench, cells) = scattered(&random, blocks: 4 + Int(random.next() % 5), length: 0)
      for count in 1...cells.count {
        let best = fewest(cells) { longest($0) >= count }
        let plan = bench.plan(.contiguous(UInt32(count)))
        #expect(plan.isSufficient == (best != nil), "\(cells), \(count)")
        #expect(plan.moves.count == best ?? 0, "\(cells), \(count)")
        if let best, best > 1 {
          let less = bench.plan(.contiguous(UInt32(count)), maxMoves: UInt32(best - 1))
          #expect(less.moves == [] && !less.isSufficient)
        }
      }
    }
  }

  @Test(
    "no moves within the budget make a longer run, and no fewer make as long a one",
    arguments: [4, 5, 6])
  func longestRun(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<40 {
      let (bench, cells) = scattered(&random, blocks: 4 + Int(random.next() % 5), length: 0)
      let utmost = (0...cells.count).last { count in fewest(cells) { longest($0) >= count } != nil }
      for budget in 1...4 {
        let best = (0...cells.count).last { count in
          fewest(cells, limit: budget) { longest($0) >= count } != nil
        }
        let plan = bench.plan(.longestRun, maxMoves: UInt32(budget))
        #expect(Int(plan.largestRunAfter) == best ?? 0, "\(cells), \(budget)")
        #expect(
          plan.moves.count == fewest(cells) { longest($0) >= best ?? 0 }, "\(cells), \(budget)")
        #expect(plan.isSufficient == (best == utmost), "\(cells), \(budget)")
      }
      let plan = bench.plan(.longestRun)
      bench.make(plan)
      #expect(bench.pool.layout().largestAvailableRun == plan.largestRunAfter)
      #expect(Int(plan.largestRunAfter) == utmost ?? 0)
    }
  }

  @Test(
    "one sequence in one run: the plans on the way have as few moves in all as any way there",
    arguments: [7, 8, 9, 10])
  func sequence(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for round in 0..<60 {
      let length = 1 + Int(random.next() % 4)
      let blocks = length + Int(random.next() % UInt64(7 - length))
      let (bench, cells) = scattered(&random, blocks: blocks, length: length)
      // An entry that cannot move has its place all the same.
      let table = bench.table(100)
      let numbered = cells.indices.map { i -> Int in
        table.firstIndex(of: BlockID(i + 1)).map { cells[i] < 0 ? -2 - $0 : $0 + 1 } ?? cells[i]
      }
      let best = fewest(numbered) { cells in
        isTogether(cells.map { $0 < -1 ? -1 - $0 : $0 }, length)
      }
      let budget: UInt32 = round % 3 == 0 ? 1 : 0
      var moves = 0
      while true {
        let plan = bench.plan(.sequence(100), maxMoves: budget)
        moves += plan.moves.count
        bench.make(plan)
        if plan.isSufficient || plan.moves.isEmpty {
          #expect(plan.isSufficient == (best != nil), "\(numbered)")
          break
        }
        if moves > 20 { break }
      }
      #expect(moves == best ?? 0, "\(numbered), budget \(budget)")
      if best != nil {
        #expect(bench.pool.describe(session: 0, sequence: 100)?.runs == 1, "\(numbered)")
      }
    }
  }
}
