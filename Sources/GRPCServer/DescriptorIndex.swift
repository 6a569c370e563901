import GRPCWire

/// Finds the files of a `FileDescriptorSet` by name, symbol and extension, walking the wire format
/// by hand. Keeps the raw bytes of each file, which are what reflection sends.
struct DescriptorIndex {
  struct File {
    var name = ""
    var bytes: [UInt8] = []
    var dependencies: [String] = []
  }

  private(set) var files: [File] = []
  private var fileByName: [String: Int] = [:]
  private var fileBySymbol: [String: Int] = [:]
  /// By extended type, then by field number.
  private var extensions: [String: [UInt64: Int]] = [:]
  /// Full names of the services, in file order.
  private(set) var services: [String] = []

  /// Malformed parts are left out: the set is the program's own, and a test reads it whole.
  init(_ descriptorSet: UnsafeRawBufferPointer) {
    forEachField(of: descriptorSet, 1) { addFile($0) }
  }

  func file(named name: String) -> Int? { fileByName[name] }
  func file(declaring symbol: String) -> Int? { fileBySymbol[symbol] }
  func file(extending type: String, number: UInt64) -> Int? { extensions[type]?[number] }
  func extensionNumbers(of type: String) -> [UInt64]? {
    if let known = extensions[type] { return known.keys.sorted() }
    return fileBySymbol[type] == nil ? nil : []
  }

  /// The file's bytes and those of all it imports, imports first, each once.
  func closure(of index: Int) -> [[UInt8]] {
    var seen: Set<Int> = []
    var result: [[UInt8]] = []
    func visit(_ index: Int) {
      guard seen.insert(index).inserted else { return }
      for name in files[index].dependencies {
        if let dependency = fileByName[name] { visit(dependency) }
      }
      result.append(files[index].bytes)
    }
    visit(index)
    return result
  }

  // MARK: Walking `descriptor.proto`

  private mutating func addFile(_ bytes: UnsafeRawBufferPointer) {
    let index = files.count
    var file = File()
    file.bytes = Array(bytes)
    file.name = string(in: bytes, 1)
    forEachField(of: bytes, 3) { file.dependencies.append(String(decoding: $0, as: UTF8.self)) }
    let package = string(in: bytes, 2)
    let scope = package.isEmpty ? "" : package + "."
    files.append(file)
    fileByName[file.name] = index
    forEachField(of: bytes, 4) { addMessage($0, scope, index) }
    forEachField(of: bytes, 5) { addEnum($0, scope, index) }
    forEachField(of: bytes, 7) { addExtension($0, scope, index) }
    forEachField(of: bytes, 6) { service in
      let name = scope + string(in: service, 1)
      fileBySymbol[name] = index
      services.append(name)
      forEachField(of: service, 2) { fileBySymbol[name + "." + string(in: $0, 1)] = index }
    }
  }

  private mutating func addMessage(
    _ message: UnsafeRawBufferPointer, _ scope: String, _ index: Int, depth: Int = 0
  ) {
    // Deeper than protoc itself accepts.
    if depth > 64 { return }
    let name = scope + string(in: message, 1)
    fileBySymbol[name] = index
    forEachField(of: message, 2) { fileBySymbol[name + "." + string(in: $0, 1)] = index }
    forEachField(of: message, 3) { addMessage($0, name + ".", index, depth: depth + 1) }
    forEachField(of: message, 4) { addEnum($0, name + ".", index) }
    forEachField(of: message, 6) { addExtension($0, name + ".", index) }
    forEachField(of: message, 8) { fileBySymbol[name + "." + string(in: $0, 1)] = index }
  }

  /// An enum's values are its siblings.
  private mutating func addEnum(
    _ value: UnsafeRawBufferPointer, _ scope: String, _ index: Int
  ) {
    fileBySymbol[scope + string(in: value, 1)] = index
    forEachField(of: value, 2) { fileBySymbol[scope + string(in: $0, 1)] = index }
  }

  private mutating func addExtension(
    _ field: UnsafeRawBufferPointer, _ scope: String, _ index: Int
  ) {
    fileBySymbol[scope + string(in: field, 1)] = index
    var number: UInt64 = 0
    var reader = ProtoReader(field)
    while let (id, value) = reader.next() {
      if id == 3, case .varint(let value) = value { number = value }
    }
    let extended = string(in: field, 2)
    let type = extended.hasPrefix(".") ? String(extended.dropFirst()) : extended
    extensions[type, default: [:]][number] = index
  }
}

private func forEachField(
  of message: UnsafeRawBufferPointer, _ number: Int, _ body: (UnsafeRawBufferPointer) -> Void
) {
  var reader = ProtoReader(message)
  while let (id, value) = reader.next() {
    if id == number, case .bytes(let bytes) = value { body(bytes) }
  }
}

private func string(in message: UnsafeRawBufferPointer, _ number: Int) -> String {
  var text = ""
  forEachField(of: message, number) { text = String(decoding: $0, as: UTF8.self) }
  return text
}
