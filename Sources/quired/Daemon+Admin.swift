internal import GRPCServer
internal import Glibc
internal import Metrics
internal import UVLoop

extension Daemon {
  /// Listens for HTTP, before anything is said to be ready.
  func openAdmin(_ arguments: Arguments.Admin) throws(UVError) {
    let admin = try AdminPort(arguments, service, server) { [unowned self] in
      health.isServing("")
    }
    admin.metrics.add(PublisherMetrics(publisher))
    self.admin = admin
  }

  /// Behind the other listeners, whose lines come first as ever.
  func announceAdmin() {
    guard let admin else { return }
    let address = admin.address
    log.info("admin listening", ("address", address))
    if !address.hasPrefix("127.") && !address.hasPrefix("[::1]:") {
      log.warning("whoever reaches the admin port may read all", ("address", address))
    }
    Output.write("quired: admin listening on \(address)\n", to: STDOUT_FILENO)
  }
}
