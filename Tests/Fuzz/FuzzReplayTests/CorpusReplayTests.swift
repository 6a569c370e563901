import Foundation
import FuzzTargets
import Testing

/// Every file that fuzzing kept, through the target it was kept for. A finding traps: the name of its
/// file is the last that was printed.
@Suite("fuzz corpus")
struct CorpusReplayTests {
  private static let corpus = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Corpus")

  @Test("what fuzzing kept holds in every target", arguments: FuzzTarget.all.map(\.name))
  func replay(name: String) throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    let folder = CorpusReplayTests.corpus.appending(path: name)
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    #expect(files.count > 10, "\(name) has hardly a corpus")
    for file in files {
      let bytes = try Data(contentsOf: folder.appending(path: file))
      print("replaying \(name)/\(file)")
      bytes.withUnsafeBytes { target.run($0) }
    }
  }

  @Test("no input at all is an input of every target", arguments: FuzzTarget.all.map(\.name))
  func empty(name: String) throws {
    let target = try #require(FuzzTarget.all.first { $0.name == name })
    target.run(UnsafeRawBufferPointer(start: nil, count: 0))
  }

  @Test("every request that is served is fuzzed")
  func methods() {
    #expect(methodsNotFuzzed() == [])
  }
}
