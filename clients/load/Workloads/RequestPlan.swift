package import ToolSupport

/// What a run will ask for: every request with its arrival, before the first byte is sent.
///
/// Made from a trace or a seeded scenario; never changed by how the run goes (open loop).
package struct RequestPlan: Equatable {
  /// Tokens per hash id, as in Mooncake's traces.
  package static let idTokens: UInt32 = 512

  /// In order of arrival.
  package private(set) var requests: [PlannedRequest] = []
  /// The requests' hash ids, one after another; `PlannedRequest` says which are whose.
  package private(set) var hashIDs: [UInt64] = []
  /// No id is larger; nil: there is none.
  private var largestID: UInt64?

  package init() {}

  /// Appends a request that arrives no earlier than the last one.
  package mutating func append(
    arrivalNanoseconds: UInt64, inputTokens: UInt32, outputTokens: UInt32,
    hashIDs ids: [UInt64] = []
  ) {
    precondition(arrivalNanoseconds >= requests.last?.arrivalNanoseconds ?? 0, "arrivals go back")
    precondition(inputTokens > 0 && outputTokens > 0, "a request without tokens")
    let first = hashIDs.count
    hashIDs += ids
    add(
      PlannedRequest(
        arrivalNanoseconds: arrivalNanoseconds, inputTokens: inputTokens,
        outputTokens: outputTokens, firstHash: UInt32(first), hashCount: UInt32(ids.count)))
  }

  /// Appends a request whose ids are the last of `hashIDs`.
  private mutating func add(_ request: PlannedRequest) {
    var request = request
    let ids = hashIDs(of: request)
    // Ids are given out in order, so a larger one is new: no set of all of them has to be kept.
    if let largestID {
      request.knownIDs = UInt32(
        ids.firstIndex { $0 > largestID }.map { $0 - ids.startIndex } ?? ids.count)
    }
    largestID = ids.reduce(largestID) { max($0 ?? 0, $1) }
    requests.append(request)
  }

  package func hashIDs(of request: PlannedRequest) -> ArraySlice<UInt64> {
    hashIDs[Int(request.firstHash)...].prefix(Int(request.hashCount))
  }

  /// Nanoseconds from the start to the last arrival.
  package var spanNanoseconds: UInt64 { requests.last?.arrivalNanoseconds ?? 0 }

  /// Longest time a run may be planned for, in nanoseconds: ten years. Ends well before a clock of
  /// 64 bits does.
  static let longestRun: Double = 315_360_000e9

  /// - Throws: When the last request would only arrive after `longestRun`.
  package func check(speed: Double) throws(UsageError) {
    guard Double(spanNanoseconds) / speed <= Self.longestRun else {
      throw UsageError(
        "--speed is \(NumberText.short(speed)); expected one at which the last request, "
          + "\(RunReport.seconds(spanNanoseconds)) s after the first, arrives within ten years")
    }
  }

  /// FNV-1a over every number of the plan, 64 bits: equal for equal plans, so that two reports can
  /// be known to speak of the same load. No defence against an adversary.
  package var digest: UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    func add(_ value: UInt64) {
      for shift in stride(from: 0, to: 64, by: 8) {
        hash = (hash ^ ((value >> UInt64(shift)) & 0xFF)) &* 0x100_0000_01B3
      }
    }
    for request in requests {
      add(request.arrivalNanoseconds)
      add(UInt64(request.inputTokens))
      add(UInt64(request.outputTokens))
      add(UInt64(request.hashCount))
      for id in hashIDs(of: request) { add(id) }
    }
    return hash
  }

  /// Everything in `path`, or its first `limit` requests; the first request arrives at 0.
  package static func trace(path: String, limit: Int = .max) throws(TraceError) -> RequestPlan {
    let reader = try TraceReader(path: path)
    var plan = RequestPlan()
    var start: UInt64?
    while plan.requests.count < limit {
      let firstHash = plan.hashIDs.count
      guard let record = try reader.next(hashIDs: &plan.hashIDs) else { break }
      let zero = start ?? record.timeNanoseconds
      start = zero
      plan.add(
        PlannedRequest(
          arrivalNanoseconds: record.timeNanoseconds - zero, inputTokens: record.inputTokens,
          outputTokens: record.outputTokens, firstHash: UInt32(firstHash),
          hashCount: UInt32(record.hashCount)))
    }
    guard !plan.requests.isEmpty else {
      throw TraceError(path: path, "the trace has a header and no requests")
    }
    return plan
  }
}

package struct PlannedRequest: Equatable, BitwiseCopyable {
  /// From the plan's start, in the plan's own time (a run divides it by its speed).
  package var arrivalNanoseconds: UInt64
  package var inputTokens: UInt32
  package var outputTokens: UInt32
  var firstHash: UInt32
  var hashCount: UInt32
  /// Leading ids that an earlier request may have had, too.
  var knownIDs: UInt32 = 0
}

extension RequestPlan {
  /// Undoes the rounding of a trace whose clock only ticked now and then (Mooncake's ticks are 3 s):
  /// requests that share an instant are spread uniformly over the tick that begins there.
  ///
  /// The tick is the median gap between distinct instants, never more than the gap that follows. A
  /// plan in which no instants coincide is left alone.
  /// - Returns: The tick in nanoseconds; nil when there was nothing to spread.
  @discardableResult
  package mutating func dequantise(seed: UInt64) -> UInt64? {
    var starts = requests.indices.filter {
      $0 == 0 || requests[$0].arrivalNanoseconds > requests[$0 - 1].arrivalNanoseconds
    }
    guard starts.count > 1, starts.count < requests.count else { return nil }
    let instants = starts.map { requests[$0].arrivalNanoseconds }
    let gaps = zip(instants.dropFirst(), instants).map { $0 - $1 }
    let tick = gaps.sorted()[gaps.count / 2]
    var random = RandomStream(seed: seed, stream: RandomStream.dequantiseStream)
    starts.append(requests.count)
    for group in 0..<instants.count {
      let width = group < gaps.count ? min(tick, gaps[group]) : tick
      let members = starts[group]..<starts[group + 1]
      for member in members {
        requests[member].arrivalNanoseconds += UInt64(random.uniform() * Double(width))
      }
      // By place where instants coincide, so that the order never depends on the sort.
      let sorted = members.sorted {
        (requests[$0].arrivalNanoseconds, $0) < (requests[$1].arrivalNanoseconds, $1)
      }
      requests.replaceSubrange(members, with: sorted.map { requests[$0] })
    }
    return tick
  }
}
