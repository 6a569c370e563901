internal import AdminHTTP
internal import BlockService
internal import Dashboard
internal import GRPCServer
internal import Metrics
internal import UVLoop

/// What is served on the admin port, and where: metrics, probes, and the dashboard.
final class AdminPort {
  let metrics = MetricsRegistry()
  private let data: DashboardData
  private let streams: LookStreams
  private var server: AdminServer?
  private let isReady: () -> Bool

  /// - Parameter isReady: Whether calls are to be sent here, as gRPC's health service says.
  init(
    _ arguments: Arguments.Admin, _ service: QuireService, _ grpc: GRPCServer,
    isReady: @escaping () -> Bool
  ) throws(UVError) {
    self.isReady = isReady
    let meter = grpc.meterCalls()
    data = DashboardData(service) { meter.unaryCounts }
    streams = LookStreams(data, on: grpc.loop)
    service.measureWaits()
    metrics.add(
      PoolMetrics(service.registry, addsVLLMNames: arguments.addsVLLMNames) { [unowned service] in
        service.analyses
      })
    metrics.add(meter)
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
    case "/events": return events(request)
    case let path where path.hasPrefix("/api/"): return .response(api(request))
    default: return .response(page(request.path))
    }
  }

  // MARK: The dashboard

  private func page(_ path: String) -> AdminResponse {
    switch path {
    case "/": AdminResponse("text/html; charset=utf-8", Dashboard.page)
    case "/dashboard.js": AdminResponse("text/javascript; charset=utf-8", Dashboard.script)
    case "/charts.js": AdminResponse("text/javascript; charset=utf-8", Dashboard.charts)
    case "/map.js": AdminResponse("text/javascript; charset=utf-8", Dashboard.map)
    case "/dashboard.css": AdminResponse("text/css; charset=utf-8", Dashboard.style)
    default:
      .text(404, "not here; there are /, /metrics, /healthz, /readyz, /events and /api/")
    }
  }

  private func events(_ request: AdminRequest) -> AdminAnswer {
    let pool = request.parameter("pool") ?? PoolRegistry.defaultName
    guard data.look(pool) != nil else { return .response(unknown(pool)) }
    return .events { [unowned self] in streams.add($0, pool: pool) }
  }

  /// What the page asks for; see `DashboardData`.
  private func api(_ request: AdminRequest) -> AdminResponse {
    let pool = request.parameter("pool") ?? PoolRegistry.defaultName
    func json(_ text: String?) -> AdminResponse {
      guard let text else { return unknown(pool) }
      return AdminResponse("application/json", Array(text.utf8))
    }
    switch request.path {
    case "/api/pools": return json(data.pools())
    case "/api/look": return json(data.look(pool))
    case "/api/history": return json(data.history(pool))
    case "/api/map":
      guard let bytes = data.map(pool) else { return unknown(pool) }
      return AdminResponse("application/octet-stream", bytes)
    case "/api/block":
      guard let id = request.parameter("id").flatMap({ UInt32($0) }),
        let text = data.block(pool, id)
      else { return .text(404, "there is no such block") }
      return json(text)
    case "/api/owners": return json(data.owners(pool))
    case "/api/sequence":
      guard let id = request.parameter("id").flatMap({ UInt64($0) }),
        let text = data.sequence(
          pool, session: request.parameter("session").flatMap({ UInt64($0) }) ?? 0, id)
      else { return .text(404, "there is no such sequence") }
      return json(text)
    default:
      return .text(
        404, "there are /api/pools, look, history, owners, map, block and sequence")
    }
  }

  private func unknown(_ pool: String) -> AdminResponse {
    .text(404, "there is no pool \"\(pool.prefix(PoolRegistry.longestName))\"")
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
