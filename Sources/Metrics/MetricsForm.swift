/// The two text forms in which Prometheus reads.
package enum MetricsForm: Sendable {
  /// Text format 0.0.4.
  case prometheus
  /// OpenMetrics 1.0.
  case openMetrics

  package var contentType: String {
    switch self {
    case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
    case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }
  }

  /// OpenMetrics for whoever names it in an `Accept` header without refusing it by `q=0`: Prometheus
  /// prefers it, browsers do not know it.
  package init(accept: String) {
    self = .prometheus
    for part in accept.split(separator: ",") {
      let words = part.split(separator: ";").map {
        $0.filter { $0 != " " && $0 != "\t" }.lowercased()
      }
      guard words.first == "application/openmetrics-text" else { continue }
      let isRefused = words.contains { word in
        word.hasPrefix("q=0") && word.dropFirst(2).allSatisfy { $0 == "0" || $0 == "." }
      }
      let version = words.first { $0.hasPrefix("version=") }
      // 0.0.1 is what it was before it was finished, and reads the same.
      let isKnown = version == nil || version == "version=1.0.0" || version == "version=0.0.1"
      if isKnown && !isRefused { self = .openMetrics }
    }
  }
}
