internal import Glibc
package import Metrics

/// What Prometheus' client libraries say of any process, read from /proc, and which program this is.
package final class ProcessMetrics: MetricsSource {
  private let began: Double

  package init() {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    began = Double(now.tv_sec) + Double(now.tv_nsec / 1_000_000) / 1_000
  }

  package func write(to text: inout MetricsText) {
    text.family("quire_build", .info, "The program that is running.")
    text.sample(
      MetricLabels("version", quireVersion).adding("swift", Self.swiftVersion), UInt64(1))
    var used = rusage()
    getrusage(RUSAGE_SELF.rawValue, &used)
    text.family("process_cpu_seconds", .counter, unit: "seconds", "User and system time.")
    text.sample(MetricLabels(), Self.seconds(used.ru_utime) + Self.seconds(used.ru_stime))
    text.family(
      "process_start_time_seconds", .gauge, unit: "seconds", "When it began, since the epoch.")
    text.sample(MetricLabels(), began)
    if let pages = Self.pages() {
      text.family(
        "process_resident_memory_bytes", .gauge, unit: "bytes", "Memory in main memory.")
      text.sample(MetricLabels(), pages.resident)
      text.family("process_virtual_memory_bytes", .gauge, unit: "bytes", "Address space.")
      text.sample(MetricLabels(), pages.virtual)
    }
    if let open = Self.openDescriptors() {
      text.family("process_open_fds", .gauge, "Descriptors that are open.")
      text.sample(MetricLabels(), open)
    }
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      text.family("process_max_fds", .gauge, "Descriptors that may be open.")
      text.sample(MetricLabels(), UInt64(limit.rlim_cur))
    }
  }

  private static func seconds(_ time: timeval) -> Double {
    Double(time.tv_sec) + Double(time.tv_usec) / 1e6
  }

  /// Bytes, of the first two numbers of `statm`.
  private static func pages() -> (virtual: UInt64, resident: UInt64)? {
    let descriptor = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 128)
    let count = read(descriptor, &bytes, bytes.count)
    guard count > 0 else { return nil }
    let words = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
    guard words.count > 1, let all = UInt64(words[0]), let resident = UInt64(words[1]) else {
      return nil
    }
    let size = UInt64(sysconf(CInt(_SC_PAGESIZE)))
    return (all * size, resident * size)
  }

  /// O(descriptors).
  private static func openDescriptors() -> UInt64? {
    guard let folder = opendir("/proc/self/fd") else { return nil }
    defer { closedir(folder) }
    var count: UInt64 = 0
    while readdir(folder) != nil { count += 1 }
    // Itself, its parent, and the descriptor that reads the folder.
    return count > 3 ? count - 3 : 0
  }

  #if compiler(>=6.4)
    private static let swiftVersion = "6.4"
  #elseif compiler(>=6.3)
    private static let swiftVersion = "6.3"
  #else
    private static let swiftVersion = "6.2"
  #endif
}
