internal import FuzzTargets
internal import Glibc

/// libFuzzer over one target, which the environment names (`QUIRE_FUZZ_TARGET`); the arguments are
/// libFuzzer's own. Only built with QUIRE_FUZZ set, and with `-sanitize=fuzzer`: see `run.sh`.
@main
enum QuireFuzz {
  // libFuzzer's callback takes no context. Written once, before the one thread there is calls it.
  nonisolated(unsafe) static var target = FuzzTarget.all[0]

  static func main() {
    let name = getenv("QUIRE_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let chosen = FuzzTarget.all.first(where: { $0.name == name }) else {
      print(FuzzTarget.all.map(\.name).joined(separator: "\n"))
      exit(name.isEmpty ? 0 : 2)
    }
    target = chosen
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(
      runDriver(&count, &arguments) { bytes, count in
        QuireFuzz.target.run(UnsafeRawBufferPointer(start: bytes, count: count))
        return 0
      })
  }
}

/// libFuzzer's entry point for programs that have a `main` of their own.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ run: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt
