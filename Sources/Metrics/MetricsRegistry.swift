/// Somebody with something to tell at each scrape.
package protocol MetricsSource: AnyObject {
  /// Writes whole families, each of which no other source has. Counters, and what can be read off a
  /// bitmap; nothing that goes through all blocks: the loop waits.
  func write(to text: inout MetricsText)
}

/// Everything that `/metrics` says, in the order in which it was added.
package final class MetricsRegistry {
  private var sources: [any MetricsSource] = []

  package init() {}

  package func add(_ source: any MetricsSource) { sources.append(source) }

  package func exposition(_ form: MetricsForm) -> [UInt8] {
    var text = MetricsText(form)
    for source in sources { source.write(to: &text) }
    return text.finished()
  }
}
