package import ToolSupport

/// What `quire` was asked to do, as its command line says.
package enum Request: Equatable, Sendable {
  case help
  case helpFor(String)
  case version
  case run(Invocation)
}

package enum Format: Equatable, Sendable {
  case text
  case json
  case csv
}

/// A command with its options, checked one by one.
package struct Invocation: Equatable, Sendable {
  package let command: String
  package var server = ServerChoice()
  package var format = Format.text
  package var hasNoColor = false
  package var operands: [String] = []
  private var values: [String: OptionValue] = [:]

  init(_ command: String) { self.command = command }

  package func has(_ option: String) -> Bool { values[option] != nil }

  package func whole(_ option: String) -> UInt64? {
    guard case .whole(let value)? = values[option] else { return nil }
    return value
  }

  package func wholes(_ option: String) -> [UInt64]? {
    guard case .wholes(let values)? = values[option] else { return nil }
    return values
  }

  package func number(_ option: String) -> Double? {
    guard case .number(let value)? = values[option] else { return nil }
    return value
  }

  package func text(_ option: String) -> String? {
    guard case .text(let value)? = values[option] else { return nil }
    return value
  }

  /// - Parameters:
  ///   - arguments: Without the program's name.
  ///   - environment: QUIRE_TARGET and QUIRE_POOL stand for options that are not given.
  package static func parse(
    _ arguments: [String], environment: [String: String] = [:]
  ) throws(UsageError) -> Request {
    var arguments = ArgumentList(arguments)
    let names = CommandSpec.all.map(\.name)
    guard let verb = arguments.next() else {
      throw UsageError("a command is missing; expected \(names.joined(separator: ", "))")
    }
    switch verb {
    case "--help", "-h": return .help
    case "help":
      guard let name = arguments.next() else { return .help }
      _ = try CommandSpec.named(name)
      return .helpFor(name)
    case "--version": return .version
    default: break
    }
    if verb.hasPrefix("-") { throw UsageError("\(verb) stands before the command; see --help") }
    let spec = try CommandSpec.named(verb)
    var invocation = Invocation(verb)
    invocation.server.target = ""
    invocation.server.pool = environment["QUIRE_POOL"] ?? "default"
    while let argument = arguments.next() {
      if argument == "--help" || argument == "-h" { return .helpFor(verb) }
      try invocation.take(argument, &arguments, spec)
    }
    if invocation.server.target.isEmpty {
      invocation.server.target = environment["QUIRE_TARGET"] ?? Self.usualTarget
    }
    try invocation.server.check()
    try spec.check(invocation)
    return .run(invocation)
  }

  /// Where `quired` listens unless told otherwise.
  static let usualTarget = "127.0.0.1:8765"

  private mutating func take(
    _ argument: String, _ arguments: inout ArgumentList, _ spec: CommandSpec
  ) throws(UsageError) {
    if !argument.hasPrefix("-") || argument == "-" {
      guard operands.count < spec.mostOperands else {
        throw UsageError("\(argument): \(spec.name) takes no such argument")
      }
      operands.append(argument)
      return
    }
    if spec.hasServer, argument != "--pool" || spec.hasPool,
      try server.take(argument, &arguments)
    {
      return
    }
    switch argument {
    case "--json": format = .json
    case "--csv": format = .csv
    case "--no-color": hasNoColor = true
    default:
      guard let option = spec.options.first(where: { $0.name == argument }) else {
        throw UsageError(
          "\(argument) is no option of \(spec.name)"
            + Suggestion.hint(for: argument, among: spec.optionNames))
      }
      values[argument] = try option.parse(&arguments)
    }
  }
}
