import BlockMessages
import TestSupport
import Testing

@Suite("Decoding")
struct MessageDecoderTests {
  let decoder = MessageDecoder()

  @Test("a request reads as it was packed")
  func allocateRequest() throws {
    let request = try decode(
      AllocateRequest.self,
      packed { $0.request(.allocate(count: 300), call: CallFields(pool: "a", ifRevision: 5)) })
    #expect(request.call.pool.elementsEqual("a".utf8))
    #expect(request.call.ifRevision == 5)
    #expect(!request.call.isDryRun)
    #expect(request.allocate?.count == 300)
  }

  @Test("hand-packed lists read whether packed or not")
  func lists() throws {
    // free_blocks { block_ids packed [1, 300], then unpacked 7; generations 9 }
    let request = try decode(
      FreeRequest.self, [0x12, 9, 0x0A, 3, 1, 0xAC, 2, 0x08, 7, 0x10, 9])
    #expect(Array(request.freeBlocks!.blockIDs) == [1, 300, 7])
    #expect(Array(request.freeBlocks!.generations) == [9])
  }

  @Test("an absent part is absent, an empty one is there")
  func absent() throws {
    #expect(try decode(AllocateRequest.self, []).allocate == nil)
    #expect(try decode(AllocateRequest.self, [0x12, 0]).allocate?.count == 0)
  }

  @Test("an operation is the one that was named last")
  func oneof() throws {
    // ops { allocate { count 1 }, append { sequence_id 2 } }
    let bytes: [UInt8] = [0x12, 9, 0xA2, 1, 2, 8, 1, 0x2A, 2, 8, 2]
    let step = try decode(StepRequest.self, bytes)
    #expect(step.operationCount == 1)
    guard case .append(let append)? = step.operation(0).kind else {
      Issue.record("not an append")
      return
    }
    #expect(append.sequenceID == 2)
  }

  @Test("unknown fields are passed over")
  func unknownFields() throws {
    // Field 100, varint 1; field 101, 2 bytes.
    let bytes: [UInt8] = [0xA0, 6, 1, 0xAA, 6, 2, 1, 2, 0x12, 2, 8, 4]
    #expect(try decode(AllocateRequest.self, bytes).allocate?.count == 4)
  }

  @Test("bytes that are no message are malformed")
  func malformed() {
    expect(.malformed("quire.v1.AllocateRequest"), from: [0x12, 5, 8, 1])
    expect(.malformed("quire.v1.AllocateRequest"), from: [0xFF])
    // A varint of 11 bytes.
    expect(
      .malformed("quire.v1.AllocateRequest"),
      from: [0x12, 12, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])
  }

  @Test("half a message never crashes, wherever it ends", arguments: [11, 12, 13] as [UInt64])
  func truncated(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var packer = MessagePacker()
    for _ in 0..<12 {
      packer.reset()
      packer.stepRequest(randomStep(&random))
      let bytes = Array(packer.bytes)
      for end in 0..<min(bytes.count, 600) { readAll(Array(bytes[..<end])) }
    }
  }

  @Test("garbled messages never crash", arguments: [21, 22, 23] as [UInt64])
  func garbled(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var packer = MessagePacker()
    for _ in 0..<400 {
      packer.reset()
      packer.stepRequest(randomStep(&random))
      var bytes = Array(packer.bytes)
      for _ in 0..<4 where !bytes.isEmpty {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      readAll(bytes)
    }
  }

  /// Reads every list of a step, if the bytes are one.
  private func readAll(_ bytes: [UInt8]) {
    do {
      let step = try decode(StepRequest.self, bytes)
      for index in 0..<step.operationCount {
        if case .decode(let columns)? = step.operation(index).kind {
          #expect(columns.sequenceIDs.count <= bytes.count)
          #expect(Array(columns.appendCounts).count <= bytes.count)
        }
      }
    } catch {
      #expect(error != .unserved(field: ""))
    }
  }

  @Test("a message cannot take more than its budget of memory")
  func amplification() throws {
    // One-byte values of the unknown field 15, two bytes each: the most wasteful thing to keep.
    let bomb = Array(repeating: [0x78, 0x01] as [UInt8], count: 1 << 19).flatMap { $0 }
    let budget = 64 * (1 << 20) + 65_536
    if let failure = failure(AllocateRequest.self, bomb, decoder) {
      #expect(failure == .tooLarge(budget: budget))
    }
    #expect(decoder.decodedBytes <= budget)
    // Small messages after it are served as before.
    #expect(try decode(AllocateRequest.self, [0x12, 2, 8, 4]).allocate?.count == 4)
  }

  @Test("a message over its budget is refused, not half read")
  func overBudget() {
    let strict = MessageDecoder(arena: MessageArena(growth: 8))
    // Empty operations of two bytes each become structures of more than 16.
    let bomb = Array(repeating: [0x12, 0x00] as [UInt8], count: 20_000).flatMap { $0 }
    #expect(failure(StepRequest.self, bomb, strict) == .tooLarge(budget: 8 * 40_000 + 65_536))
    #expect(strict.decodedBytes <= 8 * 40_000 + 65_536)
  }

  // MARK: Text and enums

  @Test(
    "strings that are no text are refused by name",
    arguments: [
      ([0x61, 0x00, 0x62], "holds a NUL character"),
      ([0xFF], "is not UTF-8"),
      ([0xC3], "is not UTF-8"),  // Cut short.
      ([0xC0, 0x80], "is not UTF-8"),  // Overlong.
      ([0xED, 0xA0, 0x80], "is not UTF-8"),  // A surrogate.
      ([0xF4, 0x90, 0x80, 0x80], "is not UTF-8"),  // Past U+10FFFF.
    ] as [([UInt8], String)])
  func text(bytes: [UInt8], problem: String) {
    let call: [UInt8] = [0x0A, UInt8(bytes.count)] + bytes
    expect(
      .invalid(field: "call.pool", problem: problem), from: [0x0A, UInt8(call.count)] + call)
  }

  @Test("text of every length of character passes")
  func goodText() throws {
    let name = "aß☃😈"
    let request = try decode(
      AllocateRequest.self,
      packed { $0.request(.allocate(count: 1), call: CallFields(pool: name)) })
    #expect(request.call.pool.elementsEqual(name.utf8))
  }

  @Test("a string over its length is refused with the limit")
  func longText() {
    let add = OperationFields.add(
      AddFields(sequenceID: 1, tokenCount: 1, label: String(repeating: "x", count: 257)))
    expect(
      .invalid(field: "add.options.label", problem: "must be at most 256 bytes"),
      AddRequest.self, from: packed { $0.request(add) })
  }

  @Test("an unknown enum value is refused with its path")
  func unknownEnum() {
    // ops { allocate {} }, ops { on_refusal 9, allocate {} }
    expect(
      .invalid(field: "ops[1].on_refusal", problem: "has the unknown value 9"), StepRequest.self,
      from: [0x12, 3, 0xA2, 1, 0, 0x12, 5, 8, 9, 0xA2, 1, 0])
    // include [1, 77]
    expect(
      .invalid(field: "include", problem: "has the unknown value 77"), GetStatsRequest.self,
      from: [0x12, 2, 1, 77])
  }

  // MARK: Helpers

  private func packed(_ pack: (inout MessagePacker) -> Void) -> [UInt8] {
    var packer = MessagePacker()
    pack(&packer)
    return Array(packer.bytes)
  }

  private func decode<Message: WireMessage>(
    _ type: Message.Type, _ bytes: [UInt8]
  ) throws(DecodeFailure) -> Message {
    // The message is copied into the arena, so the bytes may go.
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    return try decoder.decode(type, from: UnsafeRawBufferPointer(copy))
  }

  private func expect<Message: WireMessage>(
    _ failure: DecodeFailure, _ type: Message.Type = AllocateRequest.self, from bytes: [UInt8]
  ) {
    #expect(self.failure(type, bytes, decoder) == failure)
  }

  /// nil when the bytes are accepted.
  private func failure<Message: WireMessage>(
    _ type: Message.Type, _ bytes: [UInt8], _ decoder: MessageDecoder
  ) -> DecodeFailure? {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { copy.deallocate() }
    copy.copyBytes(from: bytes)
    do {
      _ = try decoder.decode(type, from: UnsafeRawBufferPointer(copy))
      return nil
    } catch {
      return error
    }
  }
}
