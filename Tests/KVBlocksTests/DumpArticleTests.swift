import FoundationEssentials
import KVBlocks
import Testing

/// What users read of dumps against what is written.
@Suite("Dumps.md")
struct DumpArticleTests {
  private let sources = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../Sources/KVBlocks").standardized

  private func text(_ path: String) throws -> String {
    try String(contentsOf: sources.appending(path: path), encoding: .utf8)
  }

  /// The sections in the order of the article's table.
  private func rows() throws -> [String] {
    try text("Documentation.docc/Dumps.md").split(separator: "\n")
      .filter { $0.hasPrefix("| `") }.map { String($0.dropFirst(3).prefix(4)) }
  }

  @Test("has every section that is written")
  func sections() throws {
    var written: Set<String> = []
    for file in try FileManager.default.contentsOfDirectory(atPath: sources.path)
    where file.hasSuffix(".swift") {
      for part in try text(file).split(separator: "writer.section(\"").dropFirst() {
        written.insert(String(part.prefix(4)))
      }
    }
    #expect(Set(try rows()) == written)
    #expect(written.count >= 19)
  }

  @Test("has them in the order in which they are written")
  func order() throws {
    var configuration = PoolConfiguration(
      blocks: 24, blockSize: 4, copyAck: .explicit, cachesPrefixes: true, strategy: .firstFit,
      eviction: .lfu, hostBlocks: 4, zeroesOnFree: true)
    configuration.admission.lazyFreeBatch = 8
    let bench = Bench(configuration)
    bench.run(.allocate(3))
    bench.run(.freeBlocks([2]))
    bench.run(.reserve(Reserve(sequence: 1, blocks: 1)))
    let bytes = dump(bench.pool)
    var place = 0
    for name in try rows() where name != "CLAS" {
      let next = (place..<bytes.count).first { bytes[$0...].starts(with: name.utf8) }
      place = try #require(next, "\(name) is not behind the one above it")
    }
  }
}
