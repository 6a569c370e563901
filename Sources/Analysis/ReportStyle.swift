internal import ForeignText

/// How the page of a report looks. Colours are those of Okabe and Ito, which people who see colours
/// otherwise tell apart; none stands alone: states have a texture, lines a dash, and all have words.
enum ReportStyle {
  static let css = """
    :root { color-scheme: light dark; --page: #f5f6f8; --card: #fff; --line: #dfe3e8; --ink: #1a1f26;
      --quiet: #56606c; --grid: #e4e8ec; --free: #dddddd; --cached: #56b4e9; --active: #0072b2;
      --shared: #e69f00; --pinned: #cc79a7; --pending: #9a9a9a; --error: #d55e00;
      --texture: rgba(0, 0, 0, .45); --good: #00795a; }
    @media (prefers-color-scheme: dark) { :root { --page: #12151a; --card: #1b2027; --line: #2d343d;
      --ink: #e6e9ee; --quiet: #9aa5b3; --grid: #2a313a; --free: #38404a; --active: #1b86cc;
      --pending: #77808b; --error: #f07030; --texture: rgba(0, 0, 0, .55);
      --good: #2cc295; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--page); color: var(--ink);
      font: 15px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
    main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 48px; display: grid; gap: 16px; }
    h1 { font-size: 26px; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
    h2 { font-size: 17px; margin: 0 0 8px; }
    h3 { font-size: 14px; margin: 14px 0 4px; color: var(--quiet); font-weight: 600; }
    p { margin: 0 0 8px; max-width: 88ch; }
    p:last-child, .advice:last-child { margin-bottom: 0; }
    header p { max-width: none; }
    .quiet, small { color: var(--quiet); }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
      padding: 16px 20px; min-width: 0; }
    .pair { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); }
    .figures { display: grid; gap: 10px; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); }
    .figures div { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
      padding: 10px 14px; }
    .figures b { display: block; font-size: 23px; line-height: 1.25; font-weight: 600;
      font-variant-numeric: tabular-nums; }
    .figures small { display: block; font-size: 12.5px; line-height: 1.35; }
    .advice { border-left: 4px solid var(--error); padding: 2px 0 2px 14px; margin: 0 0 14px; }
    .advice.none { border-color: var(--good); }
    .advice b { display: block; }
    .advice p { margin: 4px 0 0; }
    svg.chart { display: block; width: 100%; height: auto; overflow: visible; margin-bottom: 6px; }
    svg text { font: 12px system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; fill: var(--quiet);
      font-variant-numeric: tabular-nums; }
    svg text.strong { fill: var(--ink); font-weight: 600; }
    .grid { stroke: var(--grid); stroke-width: 1; fill: none; }
    .cells { stroke: var(--card); stroke-width: .7; fill: none; }
    .f0 { fill: var(--free); } .f1 { fill: var(--cached); } .f2 { fill: var(--active); }
    .f3 { fill: var(--shared); } .f4 { fill: var(--pinned); } .f5 { fill: var(--pending); }
    .texture { stroke: var(--texture); stroke-width: 1; fill: none; } .dot { fill: var(--texture); }
    .partial { fill: #fff; }
    .external { stroke: var(--error); } .internal { stroke: var(--active); stroke-dasharray: 6 3; }
    .available { stroke: var(--cached); stroke-dasharray: 2 2; }
    .curve { fill: none; stroke-width: 2; stroke-linejoin: round; }
    .limit { fill: none; stroke: var(--ink); stroke-width: 1.4; stroke-dasharray: 2 3; }
    .peak { fill: none; stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 7 4; }
    .tick { stroke: var(--error); stroke-width: 2.4; fill: none; }
    .legend { display: flex; gap: 4px 16px; flex-wrap: wrap; list-style: none; margin: 0 0 10px;
      padding: 0; font-size: 13px; color: var(--quiet); }
    .legend svg { width: 14px; height: 14px; vertical-align: -2px; margin-right: 5px; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
    th, td { text-align: left; padding: 5px 10px; border-bottom: 1px solid var(--line);
      vertical-align: top; }
    th { font-size: 12.5px; font-weight: 600; color: var(--quiet); white-space: nowrap; }
    tr:last-child td { border-bottom: 0; }
    td.n, th.n { text-align: right; white-space: nowrap; }
    td.bar { width: 18%; min-width: 90px; }
    td.bar i { display: block; height: 10px; margin-top: 6px; background: var(--active);
      border-radius: 2px; min-width: 1px; }
    tr.now td { font-weight: 600; }
    .word { overflow-wrap: anywhere; max-width: 30ch; }
    footer { font-size: 13px; color: var(--quiet); }
    @media print { body { background: #fff; } .card { break-inside: avoid; } }
    """

  /// The textures of the states, to be filled with as `url(#s0)` ... `url(#s5)`.
  static let textures = """
    <svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>\
    <pattern id="s0" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f0"/></pattern>\
    <pattern id="s1" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f1"/>\
    <circle cx="4" cy="4" r="1" class="dot"/></pattern>\
    <pattern id="s2" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f2"/></pattern>\
    <pattern id="s3" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f3"/>\
    <path d="M-2 2L2 -2M0 8L8 0M6 10L10 6" class="texture"/></pattern>\
    <pattern id="s4" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f4"/>\
    <path d="M2 0V8M6 0V8" class="texture"/></pattern>\
    <pattern id="s5" width="8" height="8" patternUnits="userSpaceOnUse"><rect width="8" height="8" class="f5"/>\
    <path d="M0 4H8" class="texture"/></pattern></defs></svg>
    """
}

/// Pieces of a page. Well-formed as XML, too.
enum Markup {
  /// Text of others, in elements and in attributes. A number stays with its percent sign.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in ForeignText.printable(text).unicodeScalars {
      switch scalar {
      case "%" where result.last == " ":
        result.removeLast()
        result += "\u{A0}%"
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "'": result += "&#39;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// At most one digit behind the point, and none that says nothing.
  static func number(_ value: Double) -> String {
    let tenths = Int((value * 10).rounded())
    let whole = abs(tenths) / 10
    let sign = tenths < 0 ? "-" : ""
    return tenths % 10 == 0 ? "\(sign)\(whole)" : "\(sign)\(whole).\(abs(tenths) % 10)"
  }

  /// A table; cells are escaped. Columns from 1 on are numbers, unless `words` has them.
  static func table(
    _ titles: [String], _ rows: [[String]], words: Set<Int> = [0], strong: Int? = nil,
    bars: [Double] = []
  ) -> String {
    func cell(_ tag: String, _ column: Int, _ text: String) -> String {
      let kind = words.contains(column) ? "word" : "n"
      return "<\(tag) class=\"\(kind)\">\(escaped(text))</\(tag)>"
    }
    var html = "<div class=\"scroll\"><table><thead><tr>"
    for (column, title) in titles.enumerated() { html += cell("th", column, title) }
    if !bars.isEmpty { html += "<th></th>" }
    html += "</tr></thead><tbody>"
    let most = bars.max() ?? 0
    for (i, row) in rows.enumerated() {
      html += i == strong ? "<tr class=\"now\">" : "<tr>"
      for (column, text) in row.enumerated() { html += cell("td", column, text) }
      if !bars.isEmpty {
        let share = most > 0 ? bars[i] / most * 100 : 0
        html += "<td class=\"bar\"><i style=\"width:\(number(share))%\"></i></td>"
      }
      html += "</tr>"
    }
    return html + "</tbody></table></div>\n"
  }
}
