internal import AdminHTTP
internal import BlockService
internal import GRPCServer
internal import Metrics
internal import UVLoop

/// What is served on the admin port, and where: metrics, probes, and the dashboard.
final class AdminPort {
  let metrics = MetricsRegistry()
  private var server: AdminServer?
  private let isReady: () -> Bool

  /// - Parameter isReady: Whether calls are to be sent here, as gRPC's health service says.
  init(
    _ arguments: Arguments.Admin, _ registry: PoolRegistry, _ grpc: GRPCServer,
    isReady: @escaping () -> Bool
  ) throws(UVError) {
    self.isReady = isReady
    metrics.add(PoolMetrics(registry, addsVLLMNames: arguments.addsVLLMNames))
    metrics.add(grpc.meterCalls())
    metrics.add(ServerMetrics(grpc))
    metrics.add(ProcessMetrics())
    server = try AdminServer(
      on: grpc.loop, host: arguments.host, port: arguments.port, options: arguments.options
    ) { [unowned self] in answer($0) }
    if let server { metrics.add(AdminMetrics(server)) }
  }

  var address: String { server?.address ?? "" }

  func close() { server?.close() }

  private func answer(_ request: AdminRequest) -> AdminAnswer {
    switch request.path {
    case "/metrics":
      let form = MetricsForm(accept: request.accept)
      return .response(AdminResponse(form.contentType, metrics.exposition(form)))
    // The loop runs, or nobody would answer.
    case "/healthz": return .response(.text(200, "ok"))
    case "/readyz":
      return .response(isReady() ? .text(200, "ready") : .text(503, "not ready"))
    default:
      return .response(.text(404, "not here; there are /metrics, /healthz and /readyz"))
    }
  }
}

/// The admin port's own counters.
private final class AdminMetrics: MetricsSource {
  private unowned let server: AdminServer

  init(_ server: AdminServer) { self.server = server }

  func write(to text: inout MetricsText) {
    text.family("quire_admin_connections", .gauge, "HTTP connections to the admin port.")
    text.sample(MetricLabels(), UInt64(server.connections))
    text.family("quire_admin_event_streams", .gauge, "Of those, such that receive live events.")
    text.sample(MetricLabels(), UInt64(server.openStreams))
    text.family("quire_admin_requests", .counter, "HTTP requests to the admin port.")
    text.sample(MetricLabels(), server.requests)
    text.family(
      "quire_admin_refusals", .counter,
      "Of those, such that were refused for their method, their host or their body.")
    text.sample(MetricLabels(), server.refusals)
  }
}
