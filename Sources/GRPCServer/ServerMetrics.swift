package import Metrics

/// What the transport counts. O(connections).
package final class ServerMetrics: MetricsSource {
  private unowned let server: GRPCServer

  package init(_ server: GRPCServer) { self.server = server }

  package func write(to text: inout MetricsText) {
    let now = server.statistics
    func gauge(_ name: String, unit: String = "", _ help: String, _ value: Int) {
      text.family("quire_grpc_\(name)", .gauge, unit: unit, help)
      text.sample(MetricLabels(), UInt64(clamping: value))
    }
    func counter(_ name: String, _ help: String, _ value: UInt64) {
      text.family("quire_grpc_\(name)", .counter, help)
      text.sample(MetricLabels(), value)
    }
    gauge("connections", "gRPC connections that are open.", now.connections)
    gauge("active_calls", "Calls that are not answered yet.", now.activeCalls)
    gauge(
      "unread_bytes", unit: "bytes", "Bytes of responses that clients have not taken yet.",
      now.bufferedBytes)
    gauge(
      "held_request_bytes", unit: "bytes", "Bytes of requests that have come in part.",
      now.heldRequestBytes)
    counter("connections_accepted", "gRPC connections that were accepted.", now.connectionsTotal)
    counter(
      "connections_refused", "Connections beyond the limit of connections.", now.connectionsRefused)
    counter(
      "accepts_failed", "Connections that could not be accepted, mostly for want of descriptors.",
      UInt64(now.failedAccepts))
    counter("tls_handshakes_failed", "TLS handshakes that ended in an error.", now.handshakesFailed)
    counter("calls", "Calls that began.", now.callsTotal)
    text.family(
      "quire_grpc_cut_offs", .counter, "Connections and calls that the server ended, by reason.")
    for reason in CutOff.allCases {
      text.sample(MetricLabels("reason", reason.label), now.cutOff[reason])
    }
  }
}

extension CutOff {
  /// As a label's value.
  var label: String {
    "\(self)".reduce(into: "") { text, letter in
      if letter.isUppercase, text.last?.isUppercase == false { text.append("_") }
      text.append(letter)
    }.lowercased()
  }
}
