@testable import AdminHTTP
import Testing

@Suite("Hosts of the admin port")
struct HostRuleTests {
  @Test(
    "addresses and localhost are hosts of ours, with and without a port",
    arguments: [
      "127.0.0.1", "127.0.0.1:9100", "10.1.2.3:80", "[::1]", "[::1]:9100", "[2001:db8::7]:80",
      "localhost", "localhost:9100", "LocalHost.:9100", "",
    ])
  func ours(_ host: String) {
    #expect(HostRule(names: []).allows(host.isEmpty ? nil : host))
  }

  @Test(
    "names that nobody gave us are not: a page elsewhere could have its own name lead here",
    arguments: [
      "evil.example", "evil.example:9100", "127.0.0.1.evil.example", "localhost.evil.example",
      "[::1].evil.example", "[evil.example]", "127.0.0.1:9100:1", "127.0.0.1:x", "", "::1",
      "[127.0.0.1]", "0x7f.1",
    ])
  func theirs(_ host: String) {
    #expect(!HostRule(names: []).allows(host))
  }

  @Test("a name that was given is one of ours in any case")
  func given() {
    let rule = HostRule(names: ["Quire.internal"])
    #expect(rule.allows("quire.INTERNAL:9100"))
    #expect(rule.allows("quire.internal."))
    #expect(!rule.allows("sub.quire.internal"))
  }
}
