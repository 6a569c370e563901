@testable import Metrics
import Testing

@Suite("Expositions")
struct MetricsTextTests {
  private func text(_ form: MetricsForm, _ write: (inout MetricsText) -> Void) -> String {
    var text = MetricsText(form)
    write(&text)
    return String(decoding: text.finished(), as: UTF8.self)
  }

  @Test("a gauge and a counter are written as Prometheus' format 0.0.4 has them")
  func prometheus() {
    let found = text(.prometheus) {
      $0.family("quire_used_ratio", .gauge, unit: "ratio", "Share.")
      $0.sample(MetricLabels("pool", "a"), 0.25)
      $0.family("quire_preemptions", .counter, "Sequences.")
      $0.sample(MetricLabels("pool", "a").adding("reason", "b"), UInt64(18_446_744_073_709_551_615))
      $0.sample(MetricLabels(), UInt32(0))
      $0.family("quire_build", .info, "Which.")
      $0.sample(MetricLabels("version", "1"), UInt64(1))
    }
    #expect(
      found == """
        # HELP quire_used_ratio Share.
        # TYPE quire_used_ratio gauge
        quire_used_ratio{pool="a"} 0.25
        # HELP quire_preemptions_total Sequences.
        # TYPE quire_preemptions_total counter
        quire_preemptions_total{pool="a",reason="b"} 18446744073709551615
        quire_preemptions_total 0
        # HELP quire_build_info Which.
        # TYPE quire_build_info gauge
        quire_build_info{version="1"} 1

        """)
  }

  @Test("OpenMetrics has units, families without _total, info, and an end")
  func openMetrics() {
    let found = text(.openMetrics) {
      $0.family("quire_used_ratio", .gauge, unit: "ratio", "Share.")
      $0.sample(MetricLabels("pool", "a"), 1.0)
      $0.family("quire_preemptions", .counter, "Sequences.")
      $0.sample(MetricLabels(), UInt64(7))
      $0.family("quire_build", .info, "Which.")
      $0.sample(MetricLabels("version", "1"), UInt64(1))
    }
    #expect(
      found == """
        # HELP quire_used_ratio Share.
        # TYPE quire_used_ratio gauge
        # UNIT quire_used_ratio ratio
        quire_used_ratio{pool="a"} 1
        # HELP quire_preemptions Sequences.
        # TYPE quire_preemptions counter
        quire_preemptions_total 7
        # HELP quire_build Which.
        # TYPE quire_build info
        quire_build_info{version="1"} 1
        # EOF

        """)
  }

  @Test("a histogram's buckets add up to the last, in seconds; a bound belongs to its bucket")
  func histogram() {
    let histogram = MetricHistogram(bounds: [10_000, 1_000_000_000])
    for duration in [1, 10_000, 10_001, 2_500_000_000] as [UInt64] { histogram.record(duration) }
    #expect(histogram.total == 4)
    let found = text(.prometheus) {
      $0.family("quire_wait_seconds", .histogram, unit: "seconds", "Waits.")
      $0.sample(MetricLabels("pool", "a"), histogram)
    }
    // 1 + 10,000 + 10,001 + 2,500,000,000 ns.
    #expect(
      found == """
        # HELP quire_wait_seconds Waits.
        # TYPE quire_wait_seconds histogram
        quire_wait_seconds_bucket{pool="a",le="1e-05"} 2
        quire_wait_seconds_bucket{pool="a",le="1.0"} 3
        quire_wait_seconds_bucket{pool="a",le="+Inf"} 4
        quire_wait_seconds_sum{pool="a"} 2.500020002
        quire_wait_seconds_count{pool="a"} 4

        """)
  }

  @Test("quotes, backslashes and line feeds of a label's value are escaped")
  func escapes() {
    let found = text(.prometheus) {
      $0.family("quire_x", .gauge, "X.")
      $0.sample(MetricLabels("name", "a\"b\\c\nd"), UInt64(1))
    }
    #expect(found.hasSuffix("quire_x{name=\"a\\\"b\\\\c\\nd\"} 1\n"))
  }

  @Test("numbers are written as both forms read them")
  func numbers() {
    #expect(MetricsText.text(.nan) == "NaN")
    #expect(MetricsText.text(-.infinity) == "-Inf")
    #expect(MetricsText.text(3) == "3")
    #expect(MetricsText.text(0.1) == "0.1")
    #expect(MetricsText.text(0.00001) == "1e-05")
  }

  @Test("the buckets are those that dashboards expect")
  func bounds() {
    #expect(
      MetricHistogram.callBounds.map { $0 / 1_000 } == [
        10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000,
        500_000, 1_000_000,
      ])
    #expect(MetricHistogram.waitBounds.first == 1_000_000)
    #expect(MetricHistogram.waitBounds.last == 1_000_000_000_000)
  }

  @Test(
    "OpenMetrics is for whoever asks for it",
    arguments: [
      ("", false), ("*/*", false), ("text/html,*/*;q=0.8", false),
      ("application/openmetrics-text", true),
      // What Prometheus 2.42 sends.
      (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
          + "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", true
      ),
      ("application/openmetrics-text; version=2.0.0", false),
      ("application/openmetrics-text;q=0, text/plain", false),
      ("application/openmetrics-text;q=0.5", true),
    ])
  func accept(_ accept: String, _ isOpen: Bool) {
    #expect((MetricsForm(accept: accept) == .openMetrics) == isOpen)
  }
}
