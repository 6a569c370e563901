import GRPCClient
import GRPCServer
import GRPCWire
import InteropClient
import InteropServer
import Testing
import UVLoop

@Suite("gRPC's interoperability cases, our client against our server")
struct InteropTests {
  @Test("every case passes", arguments: InteropCase.allCases)
  func passes(one: InteropCase) throws {
    let loop = try EventLoop()
    let table = ServiceTable()
    InteropService(on: loop).register(table)
    let server = GRPCServer(loop: loop, services: table)
    let address = try server.listen(on: .tcp(host: "127.0.0.1", port: 0))
    let channel = try GRPCChannel(loop: loop, target: address)
    let outcome = Result { () throws(InteropFailure) in
      try one.run(InteropRunner(channel, on: loop))
    }
    channel.close()
    server.beginShutdown(graceNanoseconds: 1_000_000_000) {}
    loop.run()
    try outcome.get()
  }

  @Test("the standard cases are the fourteen, the compression cases the four of the document")
  func names() {
    #expect(InteropCase.standard.count == 14)
    #expect(InteropCase.standard.last == .unimplemented_service)
    #expect(InteropCase.compression.map(\.rawValue).allSatisfy { $0.contains("_compressed_") })
  }

  @Test("command lines are those of gRPC's own programs")
  func arguments() {
    var server = ServerArguments()
    server.port = 5_001
    #expect(ServerArguments(["--port=5001", "--use_tls=false"]) == server)
    for words in [["--port"], ["--port=x"], ["--use_tls=true"], ["5001"]] {
      #expect(ServerArguments(words) == nil)
    }
    let client = ClientArguments(
      ["--server_host=h", "--server_port=7", "--test_case=ping_pong", "--test_case=standard"])
    #expect(client?.host == "h" && client?.port == 7 && client?.cases.count == 15)
    let secure = ClientArguments([
      "--server_port=7", "--test_case=all", "--use_tls=true", "--ca_file=ca.pem",
      "--server_host_override=foo.test",
    ])
    #expect(secure?.usesTLS == true && secure?.caPath == "ca.pem")
    #expect(secure?.serverName == "foo.test" && secure?.cases.count == 19)
    #expect(ClientArguments(["--server_port=7", "--test_case=none"]) == nil)
    #expect(ClientArguments(["--server_port=7"]) == nil)
  }
}
