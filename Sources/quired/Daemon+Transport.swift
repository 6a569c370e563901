internal import BlockService
internal import GRPCServer
internal import GRPCWire
internal import Glibc
internal import TLSEngine
internal import UVLoop
internal import VLLMEvents

/// Certificates, and what a log says of connections.
extension Daemon {
  /// A daemon that listens wherever it was asked to.
  static func starting(
    _ registry: PoolRegistry, _ options: ServerOptions, _ arguments: Arguments, _ log: Log
  ) throws(DaemonError) -> Daemon {
    let daemon: Daemon
    do throws(UVError) {
      daemon = try Daemon(registry, options, arguments.events, arguments.sampling, log)
    } catch {
      throw .loop(error)
    }
    if arguments.analysis.blockHistory != .off {
      daemon.service.keepHistories(
        from: arguments.analysis.blockHistory == .on ? .theBeginning : .theFirstQuestion)
    }
    if let every = arguments.analysis.measuredLifetimes {
      daemon.service.measureLifetimes(every: every)
    }
    daemon.service.replayLimit = arguments.analysis.whatIfBlocks
    daemon.service.replayPercent = Double(arguments.analysis.whatIfPercent)
    daemon.noteConnections()
    if let files = arguments.tls { try daemon.secure(with: files) }
    if let options = arguments.zmq { try daemon.publish(options) }
    do throws(UVError) {
      if let admin = arguments.admin { try daemon.openAdmin(admin) }
      for listener in arguments.listen {
        try daemon.listen(on: listener, unixMode: arguments.unixMode)
      }
      daemon.announceAdmin()
    } catch {
      throw .loop(error)
    }
    return daemon
  }

  /// Loads the certificates, and again at every SIGHUP: connections that come afterwards get the new
  /// ones, the others keep theirs. Files that cannot be used leave all as it was.
  func secure(with files: TLSServerConfiguration) throws(DaemonError) {
    do throws(TLSError) {
      try load(files)
    } catch {
      throw .tls(error)
    }
    do throws(UVError) {
      signals.append(
        try SignalSource(on: loop, signal: SIGHUP) { [unowned self] in reload(files) })
    } catch {
      throw .loop(error)
    }
  }

  private func load(_ files: TLSServerConfiguration) throws(TLSError) {
    let context = try TLSContext(
      server: files, buffers: server.tls?.buffers ?? TLSBuffers())
    server.tls = context
    var fields: [Log.Field] = [("certificate", files.certificatePath)]
    if let end = context.certificateExpiresAt {
      let days = Int((Double(end) - Double(time(nil))) / 86_400)
      fields.append(("days_left", "\(days)"))
      if end < time(nil) { log.warning("the certificate has expired", fields[0]) }
    }
    if let path = files.clientCAPath { fields.append(("client_ca", path)) }
    log.write(.info, "certificates loaded", fields)
    warnOfReadableKey(files.keyPath)
  }

  private func reload(_ files: TLSServerConfiguration) {
    do throws(TLSError) {
      try load(files)
    } catch {
      log.error("the old certificates stay in use", ("reason", "\(error)"))
    }
  }

  private func warnOfReadableKey(_ path: String) {
    var information = stat()
    guard stat(path, &information) == 0, information.st_mode & 0o077 != 0 else { return }
    let mode = String(information.st_mode & 0o777, radix: 8)
    log.warning(
      "others than its owner may use the private key: chmod 600", ("file", path), ("mode", mode))
  }

  func warnOfPlainText(_ listener: Arguments.Listener, _ actual: String) {
    guard listener.isTCP, !listener.isSecure else { return }
    if actual.hasPrefix("127.") || actual.hasPrefix("[::1]:") { return }
    log.warning("plain text beyond this machine: see --tls-cert", ("address", actual))
  }

  /// Notes each connection, where anyone wants to read that.
  func noteConnections() {
    guard log.level == .debug else { return }
    server.onConnection = { [log] notice in
      switch notice {
      case .accepted(let peer): log.debug("connection", ("peer", peer))
      case .secured(let peer, let words, let identity):
        var fields: [Log.Field] = [("peer", peer), ("protocol", words)]
        if let certificate = identity.certificate {
          fields.append(("client", certificate.uris.first ?? certificate.subject))
        }
        log.write(.debug, "connection secured", fields)
      }
    }
  }
}

/// Why the server could not start.
enum DaemonError: Error, CustomStringConvertible {
  case loop(UVError)
  case tls(TLSError)
  case zmq(ZMQError)

  var description: String {
    switch self {
    case .loop(let error): error.description
    case .tls(let error): "TLS: \(error)"
    case .zmq(let error): "ZeroMQ: \(error)"
    }
  }
}
