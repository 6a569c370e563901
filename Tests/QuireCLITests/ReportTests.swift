import QuireCLI
import Testing

@Suite("reports on a terminal")
struct ReportTextTests {
  @Test("headings stand out, and what a server sends brings no control code")
  func headings() {
    let text = "Report on pool 'a\u{1B}[2J'\n  as it is\n\nWhat causes it?\n  nothing\n"
    #expect(
      ReportText.render(text, style: Style(hasColor: true))
        == "\u{1B}[1mReport on pool 'a?[2J'\u{1B}[0m\n  as it is\n\n\u{1B}[1mWhat causes it?\u{1B}[0m\n"
        + "  nothing\n")
    #expect(
      ReportText.render(text)
        == "Report on pool 'a?[2J'\n  as it is\n\nWhat causes it?\n  nothing\n")
  }

  @Test("one format is asked for, by its flag or by its name")
  func formats() throws {
    func invocation(_ arguments: String...) throws -> Request {
      try Invocation.parse(["report"] + arguments)
    }
    _ = try invocation("--format", "csv", "--csv")
    _ = try invocation("--html", "-", "--since", "600", "--format", "json")
    #expect(throws: (any Error).self) { try invocation("--format", "csv", "--json") }
    #expect(throws: (any Error).self) { try invocation("--format", "pdf") }
    #expect(throws: (any Error).self) { try invocation("--since", "0") }
  }
}
