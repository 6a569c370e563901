// This module owns how measurements are kept for Prometheus and how they are written: names, text
// forms, histograms. It imports nothing and knows nothing of what is measured.

/// Builds an exposition: Prometheus' text format 0.0.4, or OpenMetrics 1.0.
///
/// A family is begun, then its samples follow; one family's samples stand together. Names are given
/// without `_total`, `_bucket` and the like, which each form puts where it wants them.
package struct MetricsText {
  package enum Kind {
    case gauge
    case counter
    case histogram
    /// Labels that say something; the value is 1.
    case info
  }

  package let form: MetricsForm
  private(set) var bytes: [UInt8] = []
  private var name = ""
  private var kind = Kind.gauge
  /// What the samples of the family are called, up to the labels.
  private var sampleName: [UInt8] = []
  private var families: Set<String> = []

  package init(_ form: MetricsForm) {
    self.form = form
    bytes.reserveCapacity(65_536)
  }

  /// Ends the text: nothing follows.
  package mutating func finished() -> [UInt8] {
    if form == .openMetrics { bytes += "# EOF\n".utf8 }
    return bytes
  }

  /// - Parameter unit: The unit of the samples, with which the name then ends; empty for none.
  package mutating func family(_ name: String, _ kind: Kind, unit: String = "", _ help: String) {
    precondition(families.insert(name).inserted, "metric \(name) twice in one exposition")
    precondition(unit.isEmpty || name.hasSuffix("_\(unit)"), "metric \(name) is not in \(unit)")
    self.name = name
    self.kind = kind
    let suffix =
      switch kind {
      case .gauge, .histogram: ""
      case .counter: "_total"
      case .info: "_info"
      }
    sampleName = Array("\(name)\(suffix)".utf8)
    let isOpen = form == .openMetrics
    let shown = isOpen ? name : "\(name)\(suffix)"
    let type =
      switch kind {
      case .gauge: "gauge"
      case .counter: "counter"
      case .histogram: "histogram"
      case .info: isOpen ? "info" : "gauge"
      }
    bytes += "# HELP \(shown) \(help)\n# TYPE \(shown) \(type)\n".utf8
    if isOpen, !unit.isEmpty { bytes += "# UNIT \(shown) \(unit)\n".utf8 }
  }

  package mutating func sample(_ labels: MetricLabels, _ value: UInt64) {
    begin(labels)
    append(value)
    bytes.append(UInt8(ascii: "\n"))
  }

  package mutating func sample(_ labels: MetricLabels, _ value: UInt32) {
    sample(labels, UInt64(value))
  }

  package mutating func sample(_ labels: MetricLabels, _ value: Double) {
    begin(labels)
    bytes += MetricsText.text(value).utf8
    bytes.append(UInt8(ascii: "\n"))
  }

  private mutating func begin(_ labels: MetricLabels) {
    bytes += sampleName
    appendBraced(labels)
    bytes.append(UInt8(ascii: " "))
  }

  private mutating func appendBraced(_ labels: MetricLabels) {
    if labels.bytes.isEmpty { return }
    bytes.append(UInt8(ascii: "{"))
    bytes += labels.bytes
    bytes.append(UInt8(ascii: "}"))
  }

  /// Seconds, of a histogram in nanoseconds. Buckets are cumulative, as both forms want them.
  package mutating func sample(_ labels: MetricLabels, _ histogram: MetricHistogram) {
    sample(
      labels, histogram.boundTexts, Double(histogram.sum) / 1e9, count: { histogram.count($0) })
  }

  /// What somebody else counted.
  ///
  /// - Parameters:
  ///   - bounds: Upper ends of the ranges, each inclusive, ascending.
  ///   - counts: Of each range, and at last of what is beyond all; not of those below it.
  ///   - sum: Of all that was counted, in the unit of the bounds.
  package mutating func sample(
    _ labels: MetricLabels, bounds: [Double], counts: [UInt64], sum: Double
  ) {
    precondition(counts.count == bounds.count + 1, "\(name) has not a count for each range")
    sample(labels, bounds.map { "\($0)" }, sum, count: { counts[$0] })
  }

  private mutating func sample(
    _ labels: MetricLabels, _ bounds: [String], _ sum: Double, count: (Int) -> UInt64
  ) {
    precondition(kind == .histogram, "\(name) is no histogram")
    var total: UInt64 = 0
    for i in 0...bounds.count {
      total += count(i)
      let bound = i < bounds.count ? bounds[i] : "+Inf"
      bytes += sampleName
      bytes += "_bucket{".utf8
      bytes += labels.bytes
      bytes += (labels.bytes.isEmpty ? "le=\"" : ",le=\"").utf8
      bytes += bound.utf8
      bytes += "\"} ".utf8
      append(total)
      bytes.append(UInt8(ascii: "\n"))
    }
    for (suffix, value) in [
      ("_sum", MetricsText.text(sum)), ("_count", "\(total)"),
    ] {
      bytes += sampleName
      bytes += suffix.utf8
      appendBraced(labels)
      bytes += " \(value)\n".utf8
    }
  }

  /// Digits from the back: most lines of a scrape end here.
  private mutating func append(_ value: UInt64) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &digits) { place in
      var i = place.count
      var rest = value
      repeat {
        i -= 1
        place[i] = UInt8(ascii: "0") + UInt8(rest % 10)
        rest /= 10
      } while rest > 0
      bytes.append(contentsOf: place[i...])
    }
  }

  /// Whole numbers without a fraction; what is no number as both forms spell it.
  static func text(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if value == value.rounded(), value.magnitude < 1e15 { return "\(Int64(value))" }
    return "\(value)"
  }
}
