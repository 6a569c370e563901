import KVBlocks
import Testing

extension Bench {
  /// A sequence of one full block in each of these blocks, named after it; all others free.
  static func singles(
    _ blocks: UInt32, held: [BlockID], ack: CopyAck = .explicit,
    strategy: AllocationStrategy = .freeQueue
  ) -> Bench {
    let bench = Bench(
      PoolConfiguration(blocks: blocks, blockSize: 16, copyAck: ack, strategy: strategy))
    for id in 1...blocks { bench.admit(SequenceID(id), 16) }
    let free = (1...blocks).filter { !held.contains($0) }
    if !free.isEmpty { bench.run(.free(free.map { SequenceID($0) })) }
    return bench
  }

  func plan(
    _ goal: DefragmentGoal, maxMoves: UInt32 = 0, session: SessionID = 0
  ) -> DefragmentPlan {
    do throws(Refusal) {
      return try pool.planDefragment(session: session, goal, maxMoves: maxMoves)
    } catch {
      Issue.record("no plan: \(error)")
      return DefragmentPlan(revision: 0)
    }
  }

  func planRefusal(_ goal: DefragmentGoal, session: SessionID = 0) -> Refusal {
    do throws(Refusal) {
      _ = try pool.planDefragment(session: session, goal)
      return .none
    } catch {
      return error
    }
  }

  /// Applies a plan; its copies are not made yet.
  @discardableResult
  func order(_ plan: DefragmentPlan, session: SessionID = 0) -> Seen.Result {
    run(.applyDefragment(plan.revision, plan.moves), session: session)
  }

  /// Applies a plan, and its copies are made.
  func make(_ plan: DefragmentPlan) {
    let ordered = order(plan)
    #expect(ordered.refusal == .none)
    if let last = ordered.copies.last { run(.acknowledge([], upTo: last.id)) }
    #expect(pool.checkInvariants() == nil)
  }

  func moves(_ pairs: [(BlockID, BlockID)]) -> TestOperation.Kind {
    .applyDefragment(pool.revision, pairs.map { BlockMove(source: $0.0, target: $0.1) })
  }
}
