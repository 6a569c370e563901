import FoundationEssentials
import KVBlocks

/// What vLLM's own manager was asked and what it answered; `Vectors/README.md` says what a line means.
struct VLLMRecording {
  struct Line {
    var number: Int
    var verb: Substring
    /// The words behind the verb that have no name, and those that do.
    var words: [Substring] = []
    var fields: [Substring: Substring] = [:]
    var answer: Substring
    /// The queue, the number of different contents and a checksum of them; empty = as before.
    var state: Substring

    subscript(name: Substring) -> UInt32 { fields[name].flatMap { UInt32($0) } ?? 0 }

    var id: SequenceID { words.first.flatMap { UInt64($0) } ?? 0 }
    var hashes: [UInt64] { numbers(fields["hashes"] ?? "") }
  }

  struct Scenario {
    var pool: Line
    var lines: [Line]
  }

  var scenarios: [Scenario] = []

  init(path: String) throws {
    let data = try Data(contentsOf: URL(filePath: path))
    var number = 0
    for text in String(decoding: data, as: UTF8.self).split(separator: "\n") {
      number += 1
      let line = Self.line(text, number)
      if line.verb == "pool" {
        scenarios.append(.init(pool: line, lines: []))
      } else {
        scenarios[scenarios.count - 1].lines.append(line)
      }
    }
  }

  private static func line(_ text: Substring, _ number: Int) -> Line {
    let parts = text.split(separator: "|", omittingEmptySubsequences: false)
    var words = parts[0].split(separator: " ")
    var line = Line(
      number: number, verb: words.removeFirst(), answer: parts.count > 1 ? parts[1] : "",
      state: parts.count > 2 ? parts[2] : "")
    for word in words {
      if let equals = word.firstIndex(of: "=") {
        line.fields[word[..<equals]] = word[word.index(after: equals)...]
      } else {
        line.words.append(word)
      }
    }
    return line
  }
}

/// "1-3,9,8" as 1, 2, 3, 9, 8.
func numbers<T: FixedWidthInteger>(_ text: Substring) -> [T] {
  var list: [T] = []
  for part in text.split(separator: ",") {
    let ends = part.split(separator: "-").compactMap { T($0) }
    if ends.count == 2 { list += Array(ends[0]...ends[1]) } else { list += ends }
  }
  return list
}

/// The checksum of zlib, over the letters of `text`.
func crc32(_ text: String) -> UInt32 {
  var crc: UInt32 = .max
  for byte in text.utf8 {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : crc >> 1 ^ 0xEDB8_8320 }
  }
  return ~crc
}
