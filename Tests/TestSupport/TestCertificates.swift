/// The checked-in certificates (`Certificates/make.sh`), by path.
///
/// `ca.pem` signed all but `other-ca.pem`, which nobody trusts. `server.pem` and `renewed.pem` are for
/// localhost, quire.test, 127.0.0.1 and ::1; `expired.pem` was, in 2020; `client.pem` is a scheduler's.
package enum TestCertificates {
  package static func path(_ name: String) -> String {
    #filePath.split(separator: "/").dropLast().reduce("") { "\($0)/\($1)" } + "/Certificates/"
      + name
  }
}
