import GRPCWire
package import Metrics

/// How long calls took, by method and status.
///
/// From the turn of the loop that brought the request's header to the moment at which the status was
/// handed to HTTP/2: waiting behind the others of the same turn is in it, waiting in the kernel is not.
/// A stream's duration is its life. A call that was refused before it began took 0, and one for a method
/// that does not exist counts for `unknown`.
///
/// One look at the clock a call, and one load to find the histogram, which is made at the first use.
package final class CallMeter: MetricsSource {
  static let codes = 17
  private let names: [String]
  private let streams: [Bool]
  private let rows: UnsafeMutablePointer<Unmanaged<MetricHistogram>?>

  init(_ table: DispatchTable) {
    // The last is for methods that do not exist.
    names = table.paths + ["unknown"]
    streams = table.streams + [true]
    rows = .allocate(capacity: names.count * Self.codes)
    rows.initialize(repeating: nil, count: names.count * Self.codes)
  }

  deinit {
    for i in 0..<names.count * Self.codes { rows[i]?.release() }
    rows.deallocate()
  }

  /// `method`: the route's index; nil = there is none.
  @inline(__always)
  func record(_ nanoseconds: UInt64, of method: Int?, _ code: StatusCode) {
    let place = (method ?? names.count - 1) * Self.codes + Int(code.rawValue)
    let row = rows[place] ?? makeRow(place)
    row._withUnsafeGuaranteedRef { $0.record(nanoseconds) }
  }

  @inline(never)
  private func makeRow(_ place: Int) -> Unmanaged<MetricHistogram> {
    // Released by deinit.
    let row = Unmanaged.passRetained(MetricHistogram(bounds: MetricHistogram.callBounds))
    rows[place] = row
    return row
  }

  /// Unary calls of all methods and codes together, by the ranges of `MetricHistogram.callBounds` and one
  /// beyond. Calls of methods that do not exist are left out.
  package var unaryCounts: [UInt64] {
    var all = [UInt64](repeating: 0, count: MetricHistogram.callBounds.count + 1)
    for method in names.indices where !streams[method] {
      for code in 0..<Self.codes {
        guard let row = rows[method * Self.codes + code]?.takeUnretainedValue() else { continue }
        for range in all.indices { all[range] += row.count(range) }
      }
    }
    return all
  }

  package func write(to text: inout MetricsText) {
    text.family(
      "quire_rpc_duration_seconds", .histogram, unit: "seconds",
      "From a call's header to its status; the life of a stream. Methods and codes that occurred.")
    for method in names.indices.sorted(by: { names[$0] < names[$1] }) {
      let labels = MetricLabels("method", names[method])
      for code in 0..<Self.codes {
        guard let row = rows[method * Self.codes + code] else { continue }
        text.sample(labels.adding("code", Self.codeNames[code]), row.takeUnretainedValue())
      }
    }
  }

  /// As `statuscodes.md` spells them.
  private static let codeNames = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
    "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
  ]
}
