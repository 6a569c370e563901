internal import ForeignText
internal import ToolSupport

extension RunReport {
  /// For people: a block for each question a newcomer asks, and a line on what it means.
  package var text: String {
    var text = TextTable()
    writeHead(&text)
    writeRequests(&text)
    writeLatency(&text)
    writeMemory(&text)
    writeEnd(&text)
    return text.lines.joined(separator: "\n") + "\n"
  }

  private func writeHead(_ text: inout TextTable) {
    text.line("quire-load \(version): \(command)")
    text.line("  into pool '\(pool)' at \(target)\(poolShape)")
    text.line(
      "  plan \(NumberText.hexadecimal(planDigest)), seed \(seed): \(metrics.planned) requests over "
        + "\(Self.seconds(planSpanNanoseconds)) s, played at \(NumberText.short(speed))x, one step every "
        + "\(NumberText.short(tickNanoseconds / speed / 1e6)) ms")
    if let interruption { text.line("  ended early: \(interruption)") }
  }

  private var poolShape: String {
    guard let before = leakCheck?.before else { return "" }
    return ": \(before.capacityBlocks) blocks of \(before.blockSize) tokens"
  }

  private func writeRequests(_ text: inout TextTable) {
    text.head("Requests", "arrivals never wait for completions (open loop)")
    text.row("finished", "\(metrics.finished)", "all tokens generated, all blocks freed")
    text.row("never fit", "\(metrics.neverFit)", "larger than the whole pool; no error")
    text.row("cancelled", "\(metrics.cancelled)", "ended before they were done")
    if metrics.failed > 0 { text.row("failed", "\(metrics.failed)", "see the errors below") }
    if notStarted > 0 { text.row("not started", "\(notStarted)", "the run ended before they came") }
    text.row("wall time", "\(Self.seconds(wallNanoseconds)) s", "until the last request was freed")
    text.row(
      "operations", "\(metrics.operations)",
      "\(Self.rounded(operationsPerSecond)) a second; adds, admissions, tokens decoded, frees")
    text.row(
      "steps", "\(metrics.steps)",
      "\(Self.rounded(stepsPerSecond)) a second; one Scheduler.Step call each")
    text.row("tokens", "\(metrics.generatedTokens)", "generated")
  }

  private func writeLatency(_ text: inout TextTable) {
    text.head(
      "Latency in milliseconds", "what a step cost, and a request's wait for its first blocks")
    text.columns("", Self.percentiles.map(\.label))
    text.columns("response", Self.cells(metrics.response))
    text.columns("service", Self.cells(metrics.service))
    text.columns("admission", Self.cells(metrics.admission))
    text.note("response: from the instant a step was due to its reply. service: from its sending;")
    text.note("where that is much less, steps waited for the reply before them. admission: from a")
    text.note(
      "request's intended arrival to its first blocks: the queueing that a full pool causes.")
    text.row(
      "late starts", "\(metrics.lateStarts)",
      "steps sent over \(RunMetrics.lateLimit / 1_000_000) ms late; the latest "
        + "\(Self.milliseconds(metrics.maximumScheduleLag)) ms")
    text.row(
      "client lag", "\(Self.milliseconds(metrics.clientLag.percentile(99))) ms",
      "p99 of this program's own lateness; above "
        + "\(RunMetrics.clientLagLimit / 1_000_000) ms the run is invalid")
  }

  private func writeMemory(_ text: inout TextTable) {
    text.head("Memory", "means are over scheduler ticks")
    text.row(
      "blocks", NumberText.percent(metrics.blockUsage.mean),
      "mean; peak \(NumberText.percent(metrics.blockUsage.peak)): whole blocks this run held, of the pool's"
    )
    text.row(
      "slots", NumberText.percent(metrics.slotUsage.mean),
      "mean; peak \(NumberText.percent(metrics.slotUsage.peak)): the tokens in them")
    text.note(
      "The gap between the two is the unfilled tail of each request's last block. What is shared counts once."
    )
    if metrics.lookedUpTokens > 0 {
      let share = Double(metrics.foundTokens) / Double(metrics.lookedUpTokens)
      text.row(
        "cache hits", NumberText.percent(share),
        "of the prompts' tokens: \(metrics.foundTokens) of \(metrics.lookedUpTokens)")
    }
    if metrics.promptsTooLong > 0 {
      text.note(
        "\(metrics.promptsTooLong) prompts went without hashes: they have too many blocks for a message."
      )
    }
    text.row(
      "running", Self.rounded(metrics.running.mean),
      "mean; peak \(Int(metrics.running.peak)) requests at once")
    text.row(
      "waiting", Self.rounded(metrics.waiting.mean),
      "mean; peak \(Int(metrics.waiting.peak)) requests in line")
    text.row(
      "preemptions", "\(metrics.preemptions)",
      "of \(metrics.preemptedRequests) requests, at most "
        + "\(metrics.maximumPreemptionsOfOneRequest) of one: blocks taken, tokens recomputed")
    if metrics.maximumPreemptionsOfOneRequest > RunMetrics.healthyPreemptions {
      text.note(
        "More than \(RunMetrics.healthyPreemptions) preemptions of one request: it thrashes.")
    }
    guard let leakCheck else { return }
    text.row(
      "free runs", "\(leakCheck.after.freeRuns)",
      "at the end; the largest \(leakCheck.after.largestFreeRun) adjacent blocks of "
        + "\(leakCheck.after.freeBlocks) free")
  }

  private func writeEnd(_ text: inout TextTable) {
    text.head("Verdict", nil)
    if let leakCheck {
      let found = leakCheck.before
      let left = leakCheck.after
      let finding = leakCheck.isClean ? "ok" : leakCheck.isOnlyLess ? "CHANGED" : "LEAKED"
      text.line(
        "  leak check   \(finding): \(leakCheck.leakedBlocks) blocks, "
          + "\(leakCheck.leakedSequences) sequences; held before \(found.usedBlocks) and "
          + "\(found.sequences), after \(left.usedBlocks) and \(left.sequences)")
      if !leakCheck.isClean, found.usedBlocks > 0 || found.sequences > 0 {
        text.note("Others held some before: what they took or freed meanwhile counts here, too.")
      }
    } else {
      text.line("  leak check   not made: the pool could not be asked")
    }
    text.line("  errors       \(metrics.errors)")
    for sample in metrics.errorSamples { text.line("    \(ForeignText.printable(sample))") }
    text.line("  \(verdict) (exit \(exitCode.rawValue))")
  }

  private static func cells(_ histogram: LatencyHistogram) -> [String] {
    percentiles.map { milliseconds(histogram.percentile($0.percent)) }
  }
}

// MARK: - Numbers as text

extension RunReport {
  static func seconds(_ nanoseconds: UInt64) -> String {
    NumberText.fixed(Double(nanoseconds) / 1e9, 1)
  }
  static func milliseconds(_ nanoseconds: UInt64) -> String {
    NumberText.fixed(Double(nanoseconds) / 1e6, 3)
  }
  static func rounded(_ value: Double) -> String { NumberText.fixed(value, value < 100 ? 1 : 0) }
}

/// Lines of a report: a name, a number, what the number means.
private struct TextTable {
  var lines: [String] = []

  mutating func line(_ text: String) { lines.append(text) }

  mutating func head(_ title: String, _ remark: String?) {
    lines.append("")
    lines.append(remark.map { "\(title): \($0)" } ?? title)
  }

  mutating func row(_ name: String, _ value: String, _ meaning: String) {
    lines.append("  " + Self.left(name, 12) + Self.right(value, 12) + "  " + meaning)
  }

  mutating func columns(_ name: String, _ cells: [String]) {
    lines.append("  " + Self.left(name, 12) + cells.map { Self.right($0, 12) }.joined())
  }

  mutating func note(_ text: String) { lines.append("    \(text)") }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }
}
