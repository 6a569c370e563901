internal import CMicroHTTPD

/// A request for the handler: GET, or HEAD, which is answered alike, without the body.
package struct AdminRequest {
  /// Decoded, without the query: `/metrics`.
  package let path: String
  /// In the order of the request, decoded; a parameter without `=` has an empty value.
  package let parameters: [(name: String, value: String)]
  /// What the client reads, as it says so; empty when it does not.
  package let accept: String

  package init(
    path: String, parameters: [(name: String, value: String)] = [], accept: String = ""
  ) {
    self.path = path
    self.parameters = parameters
    self.accept = accept
  }

  /// The first value of that name; nil = not given.
  package func parameter(_ name: String) -> String? {
    parameters.first { $0.name == name }?.value
  }
}

extension AdminRequest {
  /// More parameters are not kept: no request of ours has as many.
  private static let mostParameters = 32

  init(_ connection: OpaquePointer, path: UnsafePointer<CChar>) {
    var found = Parameters()
    withUnsafeMutablePointer(to: &found) { found in
      _ = MHD_get_connection_values(
        connection, .GET_ARGUMENT_KIND,
        { context, _, name, value in
          let found = context!.assumingMemoryBound(to: Parameters.self)
          if found.pointee.all.count == AdminRequest.mostParameters { return .NO }
          found.pointee.all.append(
            (name.map { String(cString: $0) } ?? "", value.map { String(cString: $0) } ?? ""))
          return .YES
        }, found)
    }
    self.init(
      path: String(cString: path), parameters: found.all,
      accept: AdminRequest.header("Accept", connection) ?? "")
  }

  private struct Parameters {
    var all: [(name: String, value: String)] = []
  }

  /// The first header field of that name.
  static func header(_ name: String, _ connection: OpaquePointer) -> String? {
    MHD_lookup_connection_value(connection, .HEADER_KIND, name).map { String(cString: $0) }
  }
}
