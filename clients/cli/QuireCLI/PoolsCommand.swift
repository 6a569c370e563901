internal import ForeignText
internal import ToolSupport

extension CommandSpec {
  static let pools = CommandSpec(
    name: "pools", summary: "the pools of a server and how they are made", hasPool: false,
    examples: ["pools", "pools --target unix:/run/quire.sock --json | jq -r .name"])
}

extension Command {
  func pools() throws(Failure) -> ExitCode {
    let connection = try connect()
    let pools = try connection.pools()
    if invocation.format == .text {
      try terminal.write(PoolsText.render(pools, style: terminal.style))
    } else {
      try write(pools, of: "PoolInfo")
    }
    connection.close()
    return .fine
  }
}

extension Connection {
  /// All of them, by name.
  func pools() throws(Failure) -> [Message] {
    var pools: [Message] = []
    var request = Message("ListPoolsRequest")
    request.set("page_size", 1000)
    while true {
      let page = try call("Pools/ListPools", request, reply: "ListPoolsReply")
      pools += page.messages("pools")
      let token = page.text("next_page_token")
      if token.isEmpty { return pools }
      request.set("page_token", token)
    }
  }
}

package enum PoolsText {
  /// - Parameter pools: `PoolInfo`.
  package static func render(_ pools: [Message], style: Style = .plain) -> String {
    guard !pools.isEmpty else { return "no pools\n" }
    var table = TextTable([
      ("POOL", .left), ("BLOCKS", .right), ("TOKENS EACH", .right), ("AVAILABLE", .right),
      ("BYTES", .right), ("STRATEGY", .left), ("EVICTION", .left), ("WATERMARK", .right),
      ("REVISION", .right),
    ])
    for pool in pools {
      let config = pool.message("config") ?? Message("PoolConfig")
      let classes = config.messages("size_classes").map { "\($0.number("block_size"))" }
      table.row([
        ForeignText.printable(pool.text("name")), NumberText.grouped(pool.number("blocks")),
        classes.isEmpty ? "\(config.number("block_size"))" : classes.joined(separator: "+"),
        NumberText.grouped(pool.number("available_blocks")),
        pool.number("capacity_bytes") > 0 ? ByteText.short(pool.number("capacity_bytes")) : "-",
        word(config, "strategy", or: "free-queue"),
        config.flag("disable_prefix_caching") ? "no caching" : word(config, "eviction", or: "lru"),
        NumberText.percent(config.real("watermark")), NumberText.grouped(pool.number("revision")),
      ])
    }
    var lines = table.lines()
    lines[0] = style.paint(lines[0], .strong)
    return lines.joined(separator: "\n") + "\n"
  }

  private static func word(_ config: Message, _ field: String, or usual: String) -> String {
    config.code(field) == 0 ? usual : config.word(field)
  }
}
