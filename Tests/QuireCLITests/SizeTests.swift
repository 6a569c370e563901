import Analysis
import QuireCLI
import Testing

private func question(_ line: String) throws -> SizeQuestion {
  guard
    case .run(let invocation) = try Invocation.parse(
      ["size"] + line.split(separator: " ").map(String.init))
  else { preconditionFailure("no question") }
  return try SizeQuestion(invocation)
}

@Suite("the calculator")
struct SizeTests {
  @Test("a token of Llama 2 7B is half a mebibyte, 60 GiB at 0.9 are 6,912 blocks of 16")
  func llama() throws {
    let answer = SizeAnswer(try question("--model llama-2-7b --kv-bytes 60GiB"))
    #expect(answer.question.geometry?.tokenBytes == 524_288)
    #expect(answer.blocks == 6_912)
    // All of it: 60 GiB / 8 MiB.
    #expect(
      SizeAnswer(try question("--model llama-2-7b --kv-bytes 60GiB --utilization 1")).blocks
        == 7_680)
    // A block of a 13B model is 12.5 MiB: 45 GiB hold 3,686.
    #expect(
      SizeAnswer(try question("--model opt-13b --kv-bytes 45GiB --utilization 1")).blocks == 3_686)
  }

  @Test("a card's share pays for weights and activations first")
  func card() throws {
    // 80 x 0.9 - 16 - 2 = 54 GiB, 2 MiB a block.
    let answer = SizeAnswer(
      try question("--model llama-3-8b --card 80GiB --weights 16GiB --activations 2GiB"))
    #expect(answer.blocks == 27_648)
    let full = SizeAnswer(try question("--model llama-3-8b --card 80GiB --weights 100GiB"))
    #expect(full.blocks == 0)
  }

  @Test("the eight lengths of the exercise: 8,224 slots in blocks, 16,384 reserved, 8,192 used")
  func exercise() throws {
    let answer = SizeAnswer(
      try question(
        "--lengths 512,1024,256,1800,900,1500,300,1900 --max-model-tokens 2048 --blocks 1024"))
    let asked = try #require(answer.asked)
    let reserved = try #require(answer.reserved)
    #expect((asked.slots.held, asked.slots.used, asked.slots.wasted) == (8_224, 8_192, 32))
    #expect((reserved.held, reserved.wasted) == (16_384, 8_192))
    // 1,024 blocks: 514 hold the eight, so 15 such sequences; of 2,048 slots 8 fit into 16,384.
    #expect(asked.batch == 15)
    #expect(answer.reservedBatch == 8)
    let text = answer.text()
    #expect(
      text.contains("Blocks save 49.8 % of what reserving holds, and 99.6 % of what it wastes."))
    #expect(text.contains("in blocks of 16"))
  }

  @Test("with 4 bytes of metadata and 1 KiB a token 2 would win over 4; without metadata 8 is free")
  func metadata() throws {
    // sqrt(2 x 1000 x 4 / 1024) = 2.795.
    let answer = SizeAnswer(
      try question(
        "--layers 1 --kv-heads 1 --head-size 256 --lengths 1000 --metadata-bytes 4"))
    let optimum = try #require(answer.optimum)
    #expect(abs(optimum - 2.795) < 0.001)
    // 1,000 tokens fill blocks of 8 whole: no waste, and fewer entries than in blocks of 1 or 4.
    #expect(answer.bestWithoutMetadata == 8)
    #expect(answer.bestWithMetadata == 8)
    #expect(answer.rows.first?.costBytes == 4_000)
  }

  @Test("17 tokens waste 15 slots of two blocks of 16")
  func seventeen() throws {
    let row = try #require(SizeAnswer(try question("--lengths 17,17")).asked)
    #expect((row.blocks, row.slots.held, row.slots.wasted) == (4, 64, 30))
    #expect(row.costBytes == nil && row.batch == nil)
  }

  @Test("absurd sizes have an answer, too")
  func absurd() throws {
    let answer = SizeAnswer(
      try question(
        "--layers 10000 --kv-heads 10000 --head-size 65535 --dtype-bytes 16 --block-size 65535 "
          + "--lengths 1,4294967296 --blocks 2147483648 --metadata-bytes 1000000"))
    #expect(!answer.text().isEmpty && !answer.json.isEmpty)
  }

  @Test("programs get a row for each block size")
  func csv() throws {
    let lines = SizeAnswer(try question("--lengths 17 --blocks 4")).csv.split(separator: "\n")
    #expect(lines.count == 9)
    #expect(lines[0].hasPrefix("block_size,blocks,slots_held"))
    #expect(lines[4] == "16,2,32,17,15,0.46875,0.53125,144,,,2")
    #expect(
      SizeAnswer(try question("--blocks 4")).csv == "block_size,blocks,kv_bytes\n16,4,\n")
  }
}
