import Testing
import ToolSupport

@Suite("what somebody may have meant")
struct SuggestionTests {
  let words = ["stats", "top", "map", "report", "pools", "sequences", "--watch", "--json"]

  @Test(
    "a word that is nearly right is recognised",
    arguments: [
      ("stat", "stats"), ("tsats", "stats"), ("sequence", "sequences"), ("pool", "pools"),
      ("--jsno", "--json"), ("--wacth", "--watch"), ("mpa", "map"),
    ])
  func near(typed: String, meant: String) {
    #expect(Suggestion.nearest(to: typed, among: words) == meant)
  }

  @Test("a word that is like none of them suggests nothing")
  func far() {
    #expect(Suggestion.nearest(to: "defragment", among: words) == nil)
    #expect(Suggestion.hint(for: "x", among: ["abc"]) == "")
  }

  @Test("a fraction has no zeros at its end, and where it is none no point either")
  func fractions() {
    #expect(NumberText.trimmed(1.25) == "1.25")
    #expect(NumberText.trimmed(0.9) == "0.9")
    #expect(NumberText.trimmed(3) == "3")
    #expect(NumberText.trimmed(1.0004) == "1")
    #expect(NumberText.trimmed(20.0001) == "20")
    #expect(NumberText.trimmed(0.0001) == "0")
  }

  @Test("thousands are grouped")
  func thousands() {
    #expect(NumberText.grouped(0) == "0")
    #expect(NumberText.grouped(999) == "999")
    #expect(NumberText.grouped(1_000) == "1,000")
    #expect(NumberText.grouped(12_345_678) == "12,345,678")
  }
}
