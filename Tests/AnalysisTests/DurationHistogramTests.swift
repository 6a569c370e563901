import Analysis
import Testing

@Suite("histograms of durations")
struct DurationHistogramTests {
  @Test("have powers of two of a second as inclusive bounds, and a bin for what is longer")
  func bounds() {
    var histogram = DurationHistogram()
    for milliseconds: UInt64 in [0, 1_000, 1_001, 2_000, 4_096_000, 4_096_001, 999_999_999] {
      histogram.add(milliseconds: milliseconds)
    }
    #expect(histogram.counts == [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2])
    #expect(histogram.count == 7)
  }

  @Test("name the bound under which a share of all lies")
  func quantiles() {
    var histogram = DurationHistogram()
    #expect(histogram.quantileBound(0.5) == 0)
    for seconds: UInt64 in [1, 1, 1, 3, 9_000] { histogram.add(milliseconds: seconds * 1_000) }
    #expect(histogram.quantileBound(0.5) == 1)
    #expect(histogram.quantileBound(0.61) == 4)
    #expect(histogram.quantileBound(0.8) == 4)
    #expect(histogram.quantileBound(1) == .infinity)
  }
}
