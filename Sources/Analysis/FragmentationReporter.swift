/// Writes a report down: for people in plain text and as a page, for programs as JSON and CSV.
///
/// Texts that others chose (names, labels) go through the escapes of each form. The same report gives the
/// same bytes.
package struct FragmentationReporter {
  package enum Format: UInt8, Sendable {
    case text, json, csv, html

    package var contentType: String {
      switch self {
      case .text: "text/plain; charset=utf-8"
      case .json: "application/json"
      case .csv: "text/csv; charset=utf-8; header=present"
      case .html: "text/html; charset=utf-8"
      }
    }
  }

  let report: FragmentationReport

  /// Points of a curve, and rows of the history in JSON and CSV: more samples are folded evenly.
  static let mostPoints = 600

  package init(_ report: FragmentationReport) { self.report = report }

  package func written(as format: Format) -> String {
    switch format {
    case .text: text()
    case .json: json()
    case .csv: csv()
    case .html: html()
    }
  }

  /// The samples of the window, folded where there are too many.
  var points: [HistorySample] {
    FragmentationHistory.thinned(report.window.samples, most: Self.mostPoints)
  }
}
