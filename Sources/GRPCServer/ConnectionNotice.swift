package import GRPCWire

/// What happens to connections, for a log.
package enum ConnectionNotice {
  case accepted(peer: String)
  /// The TLS handshake is done.
  case secured(peer: String, protocol: String, PeerIdentity)
}
