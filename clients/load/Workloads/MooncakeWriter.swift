/// Writes a plan as a trace in Mooncake's format, one line per request, times in whole milliseconds.
package enum MooncakeWriter {
  package static func text(of plan: RequestPlan) -> String {
    var text = ""
    for request in plan.requests {
      let milliseconds = request.arrivalNanoseconds / 1_000_000
      let ids = plan.hashIDs(of: request).map(String.init).joined(separator: ", ")
      text +=
        "{\"timestamp\": \(milliseconds), \"input_length\": \(request.inputTokens), "
        + "\"output_length\": \(request.outputTokens), \"hash_ids\": [\(ids)]}\n"
    }
    return text
  }
}
