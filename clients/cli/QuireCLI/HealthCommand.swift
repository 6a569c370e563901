internal import GRPCWire
internal import ToolSupport

extension CommandSpec {
  static let health = CommandSpec(
    name: "health", summary: "whether the server, or one of its services, takes calls",
    operands: "[SERVICE]", mostOperands: 1, hasPool: false,
    notes: """
      Asks gRPC's standard health service and prints SERVING or what it is instead; of a service that
      is not there NOT_FOUND. Ends with 0 for SERVING, with 4 for everything else that the server says
      and with 2 when it says nothing.
      """,
    examples: [
      "health", "health quire.v1.Scheduler",
      "health --target \"$ADDRESS\" > /dev/null || restart",
    ])
}

extension Command {
  func health() throws(Failure) -> ExitCode {
    let connection = try connect()
    var request = Message("grpc.health.v1.HealthCheckRequest")
    request.set("service", invocation.operands.first ?? "")
    let answer = try connection.answer(
      "Health/Check", request, reply: "grpc.health.v1.HealthCheckResponse",
      service: "grpc.health.v1.")
    connection.close()
    let state: String
    switch answer {
    case .success(let reply):
      if invocation.format != .text {
        try write(reply, isFirst: true)
        return reply.code("status") == 1 ? .fine : .unwell
      }
      state = reply.word("status").uppercased().replacing("-", with: "_")
    case .failure(let refused):
      guard refused.status.code == .notFound else { throw refused.failure }
      if invocation.format != .text { throw Failure(.unwell, "NOT_FOUND") }
      state = "NOT_FOUND"
    }
    let isWell = state == "SERVING"
    try terminal.write(terminal.style.paint(state, isWell ? .good : .bad) + "\n")
    return isWell ? .fine : .unwell
  }
}
