import AdminHTTP
import Testing
import quired

@Suite("The command line: the admin port")
struct AdminArgumentsTests {
  private func admin(_ words: String...) throws -> Arguments.Admin? {
    guard case .serve(let arguments) = try Arguments.parse(words) else { return nil }
    return arguments.admin
  }

  private func problem(_ words: String...) -> String {
    do throws(Arguments.Problem) {
      _ = try Arguments.parse(words)
      return ""
    } catch {
      return error.description
    }
  }

  @Test("there is none unless it is asked for")
  func off() throws {
    #expect(try admin() == nil)
  }

  @Test("takes an address, and its limits")
  func values() throws {
    let plain = try #require(try admin("--admin", "127.0.0.1:0"))
    #expect(plain.host == "127.0.0.1" && plain.port == 0)
    #expect(plain.options == AdminOptions())
    #expect(!plain.addsVLLMNames)
    let all = try #require(
      try admin(
        "--admin=[::1]:9100", "--admin-host", "a.example", "--admin-host=b.example",
        "--admin-max-connections", "10", "--admin-max-streams=9",
        "--admin-max-request-bytes", "8KiB", "--admin-timeout=5s", "--metrics-compat=vllm"))
    #expect(all.host == "::1" && all.port == 9_100 && all.addsVLLMNames)
    #expect(all.options.hostNames == ["a.example", "b.example"])
    #expect(all.options.maxConnections == 10 && all.options.maxStreams == 9)
    #expect(all.options.maxRequestBytes == 8_192 && all.options.timeoutSeconds == 5)
  }

  @Test("names the option that is wrong, and its limits")
  func wrong() {
    #expect(problem("--admin", "unix:/tmp/x") == "--admin 'unix:/tmp/x': must be host:port")
    #expect(problem("--admin", "9100") == "--admin '9100': the port is missing")
    #expect(problem("--admin-timeout", "5s") == "--admin-timeout needs --admin")
    #expect(problem("--metrics-compat=vllm") == "--metrics-compat needs --admin")
    #expect(
      problem("--admin=h:1", "--metrics-compat=v") == "--metrics-compat 'v': must be none or vllm")
    #expect(
      problem("--admin=h:1", "--admin-timeout=500ms")
        == "--admin-timeout '500ms': must be from 1s to 1h, in whole seconds")
    #expect(
      problem("--admin=h:1", "--admin-max-connections=0")
        == "--admin-max-connections '0': must be a whole number from 1 to 10000")
    #expect(
      problem("--admin=h:1", "--admin-max-request-bytes=1")
        == "--admin-max-request-bytes '1': must be from 4KiB to 1MiB")
    #expect(
      problem("--admin=h:1", "--admin-host=a:1")
        == "--admin-host 'a:1': must be a host name, without a port")
    #expect(
      problem("--admin=h:1", "--admin-max-connections=16")
        == "--admin-max-streams '16': must be less than --admin-max-connections, 16")
    #expect(problem("--admin") == "--admin needs a value")
  }
}
