internal import ForeignText
internal import ToolSupport

extension RunReport {
  /// For programs: one flat object, names with their units, latencies in milliseconds.
  package var json: String {
    var object = JSONObject()
    object.add("tool", text: "quire-load")
    object.add("version", text: version)
    object.add("command", text: command)
    object.add("target", text: target)
    object.add("pool", text: pool)
    object.add("seed", "\(seed)")
    object.add("plan_hash", text: NumberText.hexadecimal(planDigest))
    object.add("speed", "\(speed)")
    object.add("tick_ms", "\(tickNanoseconds / speed / 1e6)")
    object.add("wall_seconds", NumberText.fixed(wallSeconds, 3))
    addRequests(to: &object)
    object.add("response_ms", Self.latency(metrics.response))
    object.add("service_ms", Self.latency(metrics.service))
    object.add("admission_ms", Self.latency(metrics.admission))
    object.add("client_lag_ms", Self.latency(metrics.clientLag))
    object.add("late_starts", "\(metrics.lateStarts)")
    object.add("max_schedule_lag_ms", Self.milliseconds(metrics.maximumScheduleLag))
    addMemory(to: &object)
    object.add("errors", "\(metrics.errors)")
    object.add("invariants_broken", "\(metrics.invariantsBroken)")
    let samples = metrics.errorSamples.map(ForeignText.quoted).joined(separator: ", ")
    object.add("error_samples", "[\(samples)]")
    object.add("interruption", interruption.map(ForeignText.quoted) ?? "null")
    object.add("verdict", text: verdict)
    object.add("exit_code", "\(exitCode.rawValue)")
    return object.text + "\n"
  }

  private func addRequests(to object: inout JSONObject) {
    object.add("requests_planned", "\(metrics.planned)")
    object.add("requests_started", "\(metrics.started)")
    object.add("requests_finished", "\(metrics.finished)")
    object.add("requests_never_fit", "\(metrics.neverFit)")
    object.add("requests_cancelled", "\(metrics.cancelled)")
    object.add("requests_failed", "\(metrics.failed)")
    object.add("operations", "\(metrics.operations)")
    object.add("operations_per_second", NumberText.fixed(operationsPerSecond, 1))
    object.add("steps", "\(metrics.steps)")
    object.add("steps_per_second", NumberText.fixed(stepsPerSecond, 1))
    object.add("generated_tokens", "\(metrics.generatedTokens)")
    object.add("looked_up_tokens", "\(metrics.lookedUpTokens)")
    object.add("found_tokens", "\(metrics.foundTokens)")
    object.add("prompts_without_hashes", "\(metrics.promptsTooLong)")
    object.add("admission_refusals", "\(metrics.admissionRefusals)")
  }

  private func addMemory(to object: inout JSONObject) {
    object.add("block_usage_mean", NumberText.fixed(metrics.blockUsage.mean, 6))
    object.add("block_usage_peak", NumberText.fixed(metrics.blockUsage.peak, 6))
    object.add("slot_usage_mean", NumberText.fixed(metrics.slotUsage.mean, 6))
    object.add("slot_usage_peak", NumberText.fixed(metrics.slotUsage.peak, 6))
    object.add("running_mean", NumberText.fixed(metrics.running.mean, 2))
    object.add("running_peak", "\(Int(metrics.running.peak))")
    object.add("waiting_mean", NumberText.fixed(metrics.waiting.mean, 2))
    object.add("waiting_peak", "\(Int(metrics.waiting.peak))")
    object.add("preemptions", "\(metrics.preemptions)")
    object.add("preempted_requests", "\(metrics.preemptedRequests)")
    object.add("max_preemptions_of_one_request", "\(metrics.maximumPreemptionsOfOneRequest)")
    guard let leakCheck else {
      object.add("leaked_blocks", "null")
      return
    }
    object.add("pool_blocks", "\(leakCheck.before.capacityBlocks)")
    object.add("block_size_tokens", "\(leakCheck.before.blockSize)")
    object.add("leaked_blocks", "\(leakCheck.leakedBlocks)")
    object.add("leaked_sequences", "\(leakCheck.leakedSequences)")
    object.add("free_blocks_at_end", "\(leakCheck.after.freeBlocks)")
    object.add("free_runs_at_end", "\(leakCheck.after.freeRuns)")
    object.add("largest_free_run_at_end", "\(leakCheck.after.largestFreeRun)")
  }

  private static func latency(_ histogram: LatencyHistogram) -> String {
    var parts = [
      "\"count\": \(histogram.count)", "\"mean\": \(NumberText.fixed(histogram.mean / 1e6, 4))",
    ]
    for (label, percent) in percentiles {
      parts.append(
        "\"\(label)\": \(NumberText.fixed(Double(histogram.percentile(percent)) / 1e6, 4))")
    }
    return "{" + parts.joined(separator: ", ") + "}"
  }
}

/// Writes one JSON object, a member a line.
private struct JSONObject {
  private var members: [String] = []

  /// `value` is JSON already.
  mutating func add(_ name: String, _ value: String) {
    members.append("  \"\(name)\": \(value)")
  }

  mutating func add(_ name: String, text: String) { add(name, ForeignText.quoted(text)) }

  var text: String { "{\n" + members.joined(separator: ",\n") + "\n}" }
}
