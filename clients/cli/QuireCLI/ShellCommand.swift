internal import Glibc
internal import ToolSupport

/// A command of the user's, run by the shell.
enum ShellCommand {
  /// Runs it with `input` on its standard input and waits for its end; its output is ours.
  /// - Returns: Its exit code, or 128 + the number of the signal that ended it.
  static func run(_ command: String, input: String) throws(Failure) -> Int32 {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw failure("no pipe", errno) }
    // Ours stays ours: else the command would hold its own input open.
    _ = fcntl(ends[1], F_SETFD, FD_CLOEXEC)
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
    // We ignore SIGPIPE; what we start should not.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var usual = sigset_t()
    sigemptyset(&usual)
    sigaddset(&usual, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &usual)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    var words: [UnsafeMutablePointer<CChar>?] = [
      strdup("sh"), strdup("-c"), strdup(command), nil,
    ]
    defer { for word in words { free(word) } }
    var pid = pid_t()
    let failed = posix_spawn(&pid, "/bin/sh", &actions, &attributes, &words, environ)
    close(ends[0])
    guard failed == 0 else {
      close(ends[1])
      throw failure("/bin/sh", failed)
    }
    write(input, to: ends[1])  // What it does not read it does not want; its exit code tells.
    close(ends[1])
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 {
      if errno != EINTR { throw failure("waitpid", errno) }
    }
    let signal = status & 0x7F
    return signal == 0 ? status >> 8 & 0xFF : 128 + signal
  }

  private static func failure(_ what: String, _ code: Int32) -> Failure {
    Failure(.usage, "--copy-with: \(what): \(String(cString: strerror(code)))")
  }
}
