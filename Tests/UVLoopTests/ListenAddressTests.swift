import Testing
import UVLoop

@Suite("addresses")
struct ListenAddressTests {
  @Test(
    "reads an address and writes it back",
    arguments: [
      ("127.0.0.1:80", .tcp(host: "127.0.0.1", port: 80)),
      ("localhost:0", .tcp(host: "localhost", port: 0)),
      ("[::1]:65535", .tcp(host: "::1", port: 65535)),
      ("unix:/a/b c", .unix(path: "/a/b c")),
      ("unix:rel", .unix(path: "rel")), ("unix-abstract:a b", .abstract(name: "a b")),
    ] as [(String, ListenAddress)])
  func reads(text: String, address: ListenAddress) throws {
    #expect(try ListenAddress(parsing: text) == address)
    #expect(address.description == text)
  }

  @Test(
    "says what is wrong",
    arguments: [
      ("", "the port is missing"), ("localhost", "the port is missing"),
      (":80", "the host is empty"), ("h:", "the port '' is not a number from 0 to 65535"),
      ("h:65536", "the port '65536' is not a number from 0 to 65535"),
      ("h:-1", "the port '-1' is not a number from 0 to 65535"),
      ("h:+1", "the port '+1' is not a number from 0 to 65535"),
      ("::1:80", "an IPv6 address goes in brackets: [::1]:80"), ("[::1", "'[' without ']'"),
      ("[::1]80", "a ':port' must follow ']'"), ("[::1]", "a ':port' must follow ']'"),
      ("[host]:1", "only an IPv6 address goes in brackets"),
      ("unix:", "the path after 'unix:' is empty"),
      ("unix-abstract:", "the name after 'unix-abstract:' is empty"),
      (
        "unix-abstract:" + String(repeating: "x", count: 108),
        "the socket name has 108 bytes, the limit is 107"
      ),
      (
        "unix:/" + String(repeating: "x", count: 107),
        "the socket path has 108 bytes, the limit is 107"
      ),
    ])
  func refuses(text: String, reason: String) {
    #expect(throws: AddressError(text: text, reason: reason)) {
      try ListenAddress(parsing: text)
    }
  }
}
