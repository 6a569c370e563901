import TestSupport
import Testing

@testable import QuireCLI

/// A message with fields that no sound server would send: drawn among extremes.
private func absurd(_ name: String, _ random: inout SplitMix64, depth: Int = 0) -> Message {
  var message = Message(name)
  for (index, field) in message.type.fields.enumerated() {
    func one() -> Value? {
      let number = [0, 1, 3, UInt64(UInt32.max), .max, random.next()][Int(random.next() % 6)]
      switch field.kind {
      case .unsigned, .fixed64: return .number(number)
      case .short, .fixed32: return .number(number & 0xFFFF_FFFF)
      case .signed, .zigzag: return .signed(Int64(bitPattern: number))
      case .real:
        return .real(
          [0, -1, .nan, .infinity, -.infinity, 1e308, 0.5][Int(random.next() % 7)])
      case .flag: return .flag(number & 1 == 1)
      case .text: return .text(["", "a\u{1B}[2J", "\u{202E}b\n"][Int(random.next() % 3)])
      case .bytes: return .bytes([UInt8](repeating: 7, count: Int(random.next() % 70)))
      case .word(let words): return .word(UInt32(truncatingIfNeeded: number), words)
      case .message(let place):
        guard depth < 4 else { return nil }
        return .message(
          absurd(Contract.shared.messages[place].name, &random, depth: depth + 1))
      }
    }
    if field.isList {
      message.values[index] = .list((0..<(random.next() % 4)).compactMap { _ in one() })
    } else if random.next() % 4 > 0, let value = one() {
      message.values[index] = value
    }
  }
  return message
}

@Suite("a server that makes no sense")
struct HostileTests {
  @Test("whatever it sends is shown, without a crash and without its control codes")
  func everything() {
    var random = SplitMix64(seed: 5)
    for _ in 0..<300 {
      let stats = absurd("Stats", &random)
      var texts = [StatsText.render(stats), DefragText.advice(stats)]
      var rows = StatsRows()
      texts.append(rows.next(stats, at: random.next()))
      texts.append(rows.next(absurd("Stats", &random), at: random.next()))
      texts.append(PoolsText.render([absurd("PoolInfo", &random)]))
      let sequences = (0..<3).map { _ in absurd("Sequence", &random) }
      texts.append(SequencesText.render(sequences))
      texts.append(SequencesText.renderOne(sequences[0]))
      for order in SequenceOrder.allCases { _ = order.sorted(sequences) }
      texts.append(DefragText.plan(absurd("DefragmentPlan", &random)))
      texts.append(DefragText.orders(absurd("ApplyDefragmentReply", &random)))
      texts.append(DefragText.acknowledged(absurd("AckCopiesReply", &random)))
      texts.append(SnapshotText.render(absurd("FragmentationSnapshot", &random), probes: [1, 2]))
      texts.append(EventText.lines(absurd("KvEventBatch", &random)))
      _ = EventText.rows(absurd("KvEventBatch", &random))
      texts.append(ExplainText.block(absurd("ExplainBlockReply", &random)))
      texts.append(ExplainText.prefix(absurd("ExplainLookupReply", &random)))
      var top = TopState()
      top.look(stats, sequences, at: 1)
      top.look(absurd("Stats", &random), sequences, at: 2)
      texts += top.render(style: Style(width: 90, height: 30), at: random.next())
      for text in texts {
        #expect(
          text.unicodeScalars.allSatisfy {
            $0 == "\n" || $0.value >= 0x20 && ![0x7F, 0x202E].contains($0.value)
          })
      }
    }
  }

  @Test("a map that claims four thousand million cells is cut")
  func map() {
    var random = SplitMix64(seed: 6)
    for _ in 0..<5 {
      let map = absurd("BlockMap", &random)
      #expect(MapText.render(map, columns: 1_000).utf8.count < 4 << 20)
      _ = MapText.rows(map)
    }
  }

  @Test("traces stay JSON")
  func traces() {
    var random = SplitMix64(seed: 7)
    var trace = PerfettoTrace()
    for _ in 0..<100 {
      let events = trace.look(
        absurd("Stats", &random), [absurd("Sequence", &random)], at: random.next())
      #expect(!events.joined().contains("nan") && !events.joined().contains("inf"))
    }
    _ = trace.end(at: 0)
  }

  @Test("random bytes are a message or none")
  func bytes() {
    var random = SplitMix64(seed: 8)
    for _ in 0..<20_000 {
      let bytes = (0..<(random.next() % 40)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      for name in ["Stats", "KvEventBatch", "BlockMap", "FragmentationSnapshot"] {
        _ = bytes.withUnsafeBytes { Message(name, decoding: $0) }?.json
      }
    }
  }

  @Test("what was absurd is so again once it went over the wire")
  func roundTrip() {
    var random = SplitMix64(seed: 9)
    for name in ["Stats", "PoolInfo", "KvEventBatch", "History", "StepRequest", "Sequence"] {
      for _ in 0..<20 {
        let message = absurd(name, &random)
        let again = message.encoded.withUnsafeBytes { Message(name, decoding: $0) }
        #expect(again?.encoded == message.encoded)
        #expect(again?.json == message.json)
      }
    }
  }
}
