internal import BlockMessages
internal import KVBlocks
internal import Metrics

/// How long sequences of a pool wait for their blocks, by the server's clock, to a millisecond. Two
/// measures, because two things make them wait:
/// - queue time = first admission - add: all of the waiting, for whatever reason, as vLLM's
///   `request_queue_time_seconds` has it. 0 for a sequence that is added and admitted in one operation.
/// - admission wait = admission - the first admission before it that was refused for want of room: what
///   the pool's being full cost, and not what the scheduler did not ask for. 0 where none was refused. An
///   admission after a preemption counts like the first.
///
/// Only what stood or was refused counts, no dry run. A sequence that is admitted and freed by one step
/// is left out of the first, and one that was there before this began.
///
/// Costs what it is told of: steps, and calls that add, fork, admit or free sequences. At most 1 MiB for the arrivals and 64 Ki refused
/// sequences; those that were not asked for again for longest are forgotten, and begin anew.
final class AdmissionWaits {
  let queue = MetricHistogram(bounds: MetricHistogram.waitBounds)
  let admission = MetricHistogram(bounds: MetricHistogram.waitBounds)
  private var arrivals: ArrivalTimes
  private var refused = RefusedAdmissions()

  init(_ pool: KVPool) { arrivals = ArrivalTimes(from: pool.arrivals) }

  /// A command was applied, or refused as a whole, and was no dry run. O(operations).
  func note(
    _ operations: UnsafeBufferPointer<Operation>, _ outcome: Outcome, of pool: KVPool,
    session: SessionID, at milliseconds: UInt64
  ) {
    arrivals.note(pool.arrivals, at: milliseconds)
    if outcome.refusal.reason != .none {
      guard let index = outcome.abortingOperation else { return }
      return note(refusal: outcome.refusal, of: operations[index], session, milliseconds)
    }
    var preemptions = Preemptions(operations, outcome)
    for i in 0..<operations.count {
      preemptions.pass(i, operations, outcome)
      let refusal = outcome.results[i].refusal
      if refusal.reason != .none {
        note(refusal: refusal, of: operations[i], session, milliseconds)
      } else {
        note(success: operations[i], of: pool, preemptions, session, milliseconds)
      }
    }
  }

  /// How often each sequence is preempted by the operations of a command that are still to come.
  private struct Preemptions {
    private(set) var counts: [SequenceID: UInt32] = [:]

    /// By all of them. O(operations + preemptions).
    init(_ operations: UnsafeBufferPointer<Operation>, _ outcome: Outcome) {
      if operations.count == 1 { return }
      for i in 0..<operations.count {
        for id in Self.ids(i, operations, outcome) { counts[id, default: 0] += 1 }
      }
    }

    /// This one is not to come any more.
    mutating func pass(
      _ i: Int, _ operations: UnsafeBufferPointer<Operation>, _ outcome: Outcome
    ) {
      if counts.isEmpty { return }
      for id in Self.ids(i, operations, outcome) { counts[id, default: 1] -= 1 }
    }

    private static func ids(
      _ i: Int, _ operations: UnsafeBufferPointer<Operation>, _ outcome: Outcome
    ) -> UnsafeBufferPointer<SequenceID> {
      if case .preempt(let ids) = operations[i].kind, outcome.results[i].refusal.reason == .none {
        return ids
      }
      return outcome.preempted.elements(outcome.results[i].preempted)
    }
  }

  private func note(
    refusal: Refusal, of operation: Operation, _ session: SessionID, _ now: UInt64
  ) {
    guard refusal.reason == .later || refusal.reason == .noRun,
      case .admit(let request) = operation.kind
    else { return }
    refused.begin(.init(session: session, sequence: request.anySequence), at: now)
  }

  private func note(
    success operation: Operation, of pool: KVPool, _ preemptions: Preemptions,
    _ session: SessionID, _ now: UInt64
  ) {
    switch operation.kind {
    case .add(let request):
      // Another one was refused under this id, and never came.
      _ = refused.end(.init(session: session, sequence: request.sequence))
    case .admit(let request):
      let id = request.anySequence
      let began = refused.end(.init(session: session, sequence: id))
      admission.record(began.map { (now - $0) * 1_000_000 } ?? 0)
      // It is the first where all preemptions came behind it.
      guard let arrival = pool.arrival(session: session, sequence: id),
        arrival.preemptions == preemptions.counts[id] ?? 0,
        let came = arrivals.time(of: arrival.number)
      else { return }
      queue.record((now - came) * 1_000_000)
    case .freeSequences(let ids, _):
      if refused.isEmpty { return }
      for id in ids { _ = refused.end(.init(session: session, sequence: id)) }
    default:
      return
    }
  }

  /// Another pool took the place, or this one was reset. What was counted stays.
  func begin(_ pool: KVPool) {
    arrivals = ArrivalTimes(from: pool.arrivals)
    refused = RefusedAdmissions()
  }
}

extension Admit {
  fileprivate var anySequence: SequenceID { add?.sequence ?? sequence }
}

/// When which of a pool's sequences came: the number of the first that came in each millisecond in which
/// any did. The latest 65,536 such milliseconds are kept.
struct ArrivalTimes {
  static let most = 65_536

  private struct Point {
    /// The first number that came then.
    var number: UInt64
    var milliseconds: UInt64
  }

  /// In the order of both; from `next` on the oldest ones, once it is full.
  private var points: [Point] = []
  private var next = 0
  private var last: UInt64

  /// - Parameter count: Arrivals so far, of which nothing is known.
  init(from count: UInt64) { last = count }

  /// `count`: arrivals by now. O(1).
  mutating func note(_ count: UInt64, at milliseconds: UInt64) {
    if count <= last { return }
    let first = last + 1
    last = count
    if let latest = newest, latest.milliseconds >= milliseconds { return }
    let point = Point(number: first, milliseconds: milliseconds)
    if points.count < Self.most {
      points.append(point)
    } else {
      points[next] = point
      next = next + 1 == Self.most ? 0 : next + 1
    }
  }

  private var newest: Point? {
    points.isEmpty ? nil : points[next == 0 ? points.count - 1 : next - 1]
  }

  /// When number `number` came; nil where that is too long ago, or was before all this. O(log points).
  func time(of number: UInt64) -> UInt64? {
    if number > last { return nil }
    // The last point that begins with it or before.
    var low = 0
    var high = points.count
    while low < high {
      let middle = (low + high) / 2
      let place = next + middle < points.count ? next + middle : next + middle - points.count
      if points[place].number <= number { low = middle + 1 } else { high = middle }
    }
    if low == 0 { return nil }
    let place = next + low - 1
    return points[place < points.count ? place : place - points.count].milliseconds
  }
}

/// Since when sequences are refused that were not admitted since. Whoever sends ever new ids that do not
/// fit makes this forget the oldest ones, and no more.
struct RefusedAdmissions {
  static let most = 32_768

  struct Key: Hashable {
    let session: SessionID
    let sequence: SequenceID
  }

  /// Those that were refused of late, and those before.
  private var recent: [Key: UInt64] = [:]
  private var older: [Key: UInt64] = [:]

  var isEmpty: Bool { recent.isEmpty && older.isEmpty }

  mutating func begin(_ key: Key, at milliseconds: UInt64) {
    if recent[key] != nil { return }
    let since = older.removeValue(forKey: key) ?? milliseconds
    if recent.count == Self.most {
      older = recent
      recent = [:]
    }
    recent[key] = since
  }

  /// Since when it waited; nil where it was not refused.
  mutating func end(_ key: Key) -> UInt64? {
    if recent.isEmpty && older.isEmpty { return nil }
    return recent.removeValue(forKey: key) ?? older.removeValue(forKey: key)
  }
}

/// Measures in all pools, as they come and go.
final class AdmissionWaitMeter: RegistryFollower {
  func poolCame(_ hosted: HostedPool) { hosted.waits = AdmissionWaits(hosted.pool) }
  func poolWent(_ hosted: HostedPool) { hosted.waits = nil }
}

extension QuireService {
  /// From here on it is measured how long sequences wait, for `PoolMetrics`.
  package func measureWaits() {
    precondition(waitMeter == nil, "waits are measured already")
    let meter = AdmissionWaitMeter()
    waitMeter = meter
    registry.follow(meter)
  }

  /// `apply` of the calls that a sequence's waiting begins and ends with: those that add, fork, admit and
  /// free sequences. No other pays for this.
  func applyMeasured(
    _ kind: Operation.Kind, _ call: CallMessage
  ) throws(CallFailure) -> OperationResult {
    if waitMeter == nil { return try apply(kind, call) }
    do throws(CallFailure) {
      let result = try applyInPlace(kind, call).pointee
      note(kind, call)
      return result
    } catch {
      note(kind, call)
      throw error
    }
  }

  private func note(_ kind: Operation.Kind, _ call: CallMessage) {
    // Without a pool nothing was applied.
    if call.isDryRun { return }
    guard let hosted = registry.find(call.pool), let waits = hosted.waits else { return }
    withUnsafePointer(to: Operation(kind)) { operation in
      waits.note(
        UnsafeBufferPointer(start: operation, count: 1), outcome, of: hosted.pool, session: 0,
        at: clockNow)
    }
  }
}
