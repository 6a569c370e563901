internal import Glibc
internal import ToolSupport
internal import UVLoop

extension CommandSpec {
  static let top = CommandSpec(
    name: "top", summary: "a pool as it changes: blocks, rates, and its sequences in order of cost",
    options: [
      OptionSpec("--interval", "S", .number(0.125...60), "seconds between looks (default: 1)"),
      OptionSpec(
        "--sort", "KEY", .choice(SequenceOrder.allCases.map(\.rawValue)),
        "blocks, tokens, shared, runs, preemptions, priority or id (default: blocks)"),
      OptionSpec(
        "--count", "N", .whole(1...1_000_000_000),
        "so many looks, then end (default: until q; one where the output is no terminal)"),
    ],
    notes: """
      On a terminal it takes the whole window until q. Keys: b t s r p o i sort, R reverses, arrows
      and pages scroll, n goes to the next pool, + and - change the interval, space pauses, h helps.
      Elsewhere each look is written as plain lines; --json and --csv are those of stats --watch.
      """,
    examples: ["top", "top --pool tight --interval 0.5 --sort tokens", "top --count 1 | head -12"])
}

extension Command {
  /// Sequences fetched for one look, at most.
  private static let mostSequences = 5_000

  func top() throws(Failure) -> ExitCode {
    var state = TopState()
    state.target = invocation.server.target
    state.pool = invocation.server.pool
    state.interval = invocation.number("--interval") ?? 1
    state.order = invocation.text("--sort").flatMap(SequenceOrder.init) ?? .blocks
    let connection = try connect()
    if terminal.isTerminal, invocation.format == .text {
      let window = try Window(state, connection, count: invocation.whole("--count"), terminal)
      try window.run()
      connection.close()
      return .fine
    }
    var round: UInt64 = 0
    let count = invocation.whole("--count") ?? 1
    while true {
      let stats = try connection.stats()
      let now = Self.now
      if invocation.format == .text {
        let listed = try connection.sequences(atMost: Self.mostSequences)
        state.look(stats, listed.sequences, hasMore: listed.hasMore, at: now)
        let frame = state.render(style: terminal.style, at: now).dropLast()
        var lines = Array(frame)
        while lines.last == "" { lines.removeLast() }
        try terminal.write(lines.joined(separator: "\n") + "\n\n")
      } else {
        var sample = Message("HistorySample")
        sample.set("time_ms", now)
        sample.set("stats", stats)
        sample.set("looks", 1)
        try write(sample, isFirst: round == 0)
      }
      round += 1
      if round >= count { break }
      connection.wait(seconds: state.interval)
    }
    connection.close()
    return .fine
  }

  /// The whole terminal, while `top` has it: raw keys, the alternate screen, no cursor.
  private final class Window {
    private var state: TopState
    private let connection: Connection
    private let count: UInt64?
    private var terminal: Terminal
    private var saved = termios()
    private let hasKeys: Bool

    init(
      _ state: TopState, _ connection: Connection, count: UInt64?, _ terminal: Terminal
    ) throws(Failure) {
      self.state = state
      self.connection = connection
      self.count = count
      self.terminal = terminal
      hasKeys = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &saved) == 0
    }

    /// Runs until `q`, a signal, or the last look that was asked for. The terminal is then as it was.
    func run() throws(Failure) {
      var isOver = false
      var signals: [SignalSource] = []
      do throws(UVError) {
        for number in [SIGINT, SIGTERM, SIGHUP] {
          signals.append(
            try connection.onSignal(number) { [self] in
              if isOver {  // Asked twice, while a server does not answer.
                leave()
                exit(130)
              }
              isOver = true
            })
        }
        signals.append(try connection.onSignal(SIGWINCH) { [self] in terminal.measure() })
      } catch {
        throw Failure(.usage, "\(error)")
      }
      try enter()
      defer { leave() }
      var looks: UInt64 = 0
      var nextLook = EventLoop.clock
      while !isOver {
        if !state.isPaused, EventLoop.clock >= nextLook {
          look()
          looks += 1
          nextLook = EventLoop.clock + UInt64(state.interval * 1e9)
          if let count, looks >= count { isOver = true }
        }
        try draw()
        var wish = TopState.Wish.nothing
        let size = terminal.style
        // A key waits for a twentieth of a second at most; a signal wakes the loop.
        while !isOver, wish == .nothing, size == terminal.style,
          state.isPaused || EventLoop.clock < nextLook
        {
          connection.wait(seconds: 0.05)
          wish = keys()
        }
        switch wish {
        case .quit: isOver = true
        case .nextPool:
          nextPool()
          nextLook = EventLoop.clock
          state.isPaused = false
        case .look: nextLook = EventLoop.clock
        case .redraw: nextLook = min(nextLook, EventLoop.clock + UInt64(state.interval * 1e9))
        case .nothing: break
        }
      }
      _ = signals
    }

    /// A server that cannot be asked is shown as such, and asked again.
    private func look() {
      do throws(Failure) {
        connection.pool = state.pool
        let stats = try connection.stats()
        let listed = try connection.sequences(atMost: Command.mostSequences)
        state.look(stats, listed.sequences, hasMore: listed.hasMore, at: Command.now)
      } catch {
        state.problem = error.message
      }
    }

    private func nextPool() {
      do throws(Failure) {
        let names = try connection.pools().map { $0.text("name") }
        guard !names.isEmpty else { return }
        let place = names.firstIndex(of: state.pool).map { ($0 + 1) % names.count } ?? 0
        state.changePool(to: names[place])
      } catch {
        state.problem = error.message
      }
    }

    private func keys() -> TopState.Wish {
      guard hasKeys else { return .nothing }
      var bytes = [UInt8](repeating: 0, count: 256)
      let count = read(STDIN_FILENO, &bytes, bytes.count)
      guard count > 0 else { return .nothing }
      var wish = TopState.Wish.nothing
      for key in KeyReader.keys(in: Array(bytes.prefix(count))) {
        let next = state.press(key, rows: TopState.rows(height: terminal.style.height) - 1)
        if next != .nothing { wish = next }
        if wish == .quit { break }
      }
      return wish
    }

    private func draw() throws(Failure) {
      let lines = state.render(style: terminal.style, at: Command.now)
      // Each line ends with what erases the rest of it; no newline behind the last, or it would scroll.
      try terminal.write(
        "\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    private func enter() throws(Failure) {
      if hasKeys {
        var raw = saved
        // Keys at once and unseen; Ctrl-C still interrupts, Ctrl-Z would leave the screen behind.
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO)
        withUnsafeMutableBytes(of: &raw.c_cc) {
          $0[Int(VMIN)] = 0
          $0[Int(VTIME)] = 0
          $0[Int(VSUSP)] = 0
        }
        tcsetattr(STDIN_FILENO, TCSANOW, &raw)
      }
      try terminal.write("\u{1B}[?1049h\u{1B}[?25l")
    }

    private func leave() {
      if hasKeys { tcsetattr(STDIN_FILENO, TCSANOW, &saved) }
      ToolSupport.write("\u{1B}[?25h\u{1B}[?1049l", to: STDOUT_FILENO)
    }
  }
}
