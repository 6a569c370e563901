// This module owns the dashboard's page: files for browsers, kept in the program itself. It knows
// nothing of who serves them.

/// One page, its script and its style: no framework, and nothing from anywhere else.
package enum Dashboard {
  /// `text/html; charset=utf-8`
  package static let page = PackageResources.dashboard_html
  /// `text/javascript; charset=utf-8`, in the order in which the page loads them.
  package static let script = PackageResources.dashboard_js
  package static let charts = PackageResources.charts_js
  package static let map = PackageResources.map_js
  /// `text/css; charset=utf-8`
  package static let style = PackageResources.dashboard_css
}
