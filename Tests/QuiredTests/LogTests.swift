import Glibc
import Testing
import quired

@Suite("The log")
struct LogTests {
  /// 2024-02-29 12:34:56.007 UTC.
  private let time = timespec(tv_sec: 1_709_210_096, tv_nsec: 7_999_999)

  @Test("a text line has time, level, message and words")
  func text() {
    let log = Log(level: .info, format: .text)
    #expect(
      log.line(
        .warning, "pool full", [("pool", "a"), ("why", "two words"), ("none", "")], at: time)
        == "2024-02-29T12:34:56.007Z warning pool full pool=a why=\"two words\" none=\"\"\n")
  }

  @Test(
    "what terminals act on is escaped in values of one word, too: C1 and what turns text round",
    arguments: [Log.Format.text, .json])
  func control(format: Log.Format) {
    let log = Log(level: .info, format: format)
    let line = log.line(
      .info, "connected",
      [("a", "\u{9B}2J"), ("b", "\u{202E}x"), ("c", "\u{2066}"), ("d", "é")], at: time)
    let escaped = ["\"\\u009b2J\"", "\"\\u202ex\"", "\"\\u2066\""]
    #expect(
      line
        == (format == .text
          ? "2024-02-29T12:34:56.007Z info connected a=\(escaped[0]) b=\(escaped[1]) c=\(escaped[2]) d=é\n"
          : "{\"time\":\"2024-02-29T12:34:56.007Z\",\"level\":\"info\",\"message\":\"connected\","
            + "\"a\":\(escaped[0]),\"b\":\(escaped[1]),\"c\":\(escaped[2]),\"d\":\"é\"}\n"))
  }

  @Test("a JSON line is one object with everything escaped")
  func json() {
    let log = Log(level: .info, format: .json)
    #expect(
      log.line(.error, "a \"b\"\n", [("path", "c:\\d\u{1}")], at: time)
        == "{\"time\":\"2024-02-29T12:34:56.007Z\",\"level\":\"error\","
        + "\"message\":\"a \\\"b\\\"\\n\",\"path\":\"c:\\\\d\\u0001\"}\n")
  }
}
