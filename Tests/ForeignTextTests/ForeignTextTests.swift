import Foundation
import ForeignText
import Testing

@Suite("texts that others chose")
struct ForeignTextTests {
  /// A command for a terminal in C0 and in C1, a text that runs backwards, one that nobody sees, and a character
  /// that is none.
  private let wild = "a\u{1B}[2J\u{9B}2J\u{202E}b\u{2066}\u{FEFF}\u{E0041}\n\r\t\u{7F}é😀"

  @Test("what a terminal acts on does not reach it")
  func printable() {
    #expect(ForeignText.printable(wild) == "a?[2J?2J?b???????é😀")
    #expect(ForeignText.printable("\u{378}") == "?")
    #expect(ForeignText.printable("plain, \"quoted\" \\") == "plain, \"quoted\" \\")
    #expect(ForeignText.printable("") == "")
  }

  @Test("what begins like a formula is none in a table")
  func cell() {
    #expect(ForeignText.cell("=HYPERLINK(\"http://x/\")") == "'=HYPERLINK(\"http://x/\")")
    #expect(["+1", "-", "@a"].map(ForeignText.cell) == ["'+1", "'-", "'@a"])
    #expect(["a=1", "", "'=1", "é"].map(ForeignText.cell) == ["a=1", "", "'=1", "é"])
    #expect(ForeignText.cell("\t=1") == "?=1")
    #expect(["＝1", "＋", "－1", "＠a"].map(ForeignText.cell) == ["'＝1", "'＋", "'－1", "'＠a"])
  }

  @Test("JSON has the same value, and nothing that a terminal acts on")
  func quoted() throws {
    #expect(
      ForeignText.quoted("\u{9B}\u{202E}\u{E0041}\u{1}")
        == "\"\\u009b\\u202e\\udb40\\udc41\\u0001\"")
    #expect(ForeignText.quoted("\"\\\n\r\t") == "\"\\\"\\\\\\n\\r\\t\"")
    let json = "[" + ForeignText.quoted(wild) + "]"
    let back = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String])
    #expect(back == [wild])
    #expect(
      json.unicodeScalars.allSatisfy { ForeignText.printable(String($0)) == String($0) })
  }
}
