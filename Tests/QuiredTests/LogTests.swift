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

  @Test("a JSON line is one object with everything escaped")
  func json() {
    let log = Log(level: .info, format: .json)
    #expect(
      log.line(.error, "a \"b\"\n", [("path", "c:\\d\u{1}")], at: time)
        == "{\"time\":\"2024-02-29T12:34:56.007Z\",\"level\":\"error\","
        + "\"message\":\"a \\\"b\\\"\\n\",\"path\":\"c:\\\\d\\u0001\"}\n")
  }
}
