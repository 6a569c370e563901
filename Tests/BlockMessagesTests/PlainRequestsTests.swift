import BlockMessages
import TestSupport
import Testing

/// What is read by hand reads as protobuf-c reads it, or not at all.
@Suite("Requests read by hand")
struct PlainRequestsTests {
  let hand = MessageDecoder()
  let library = MessageDecoder()

  @Test(
    "a request for blocks reads as protobuf-c reads it, however it is bent", arguments: [1, 2, 3])
  func allocate(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<20_000 {
      let bytes = bent(request(&random, isFree: false), &random)
      let (one, other) = bytes.withUnsafeBytes { bytes in
        (
          outcome { () throws(DecodeFailure) in AllocateValues(try hand.decodeAllocate(bytes)) },
          outcome { () throws(DecodeFailure) in
            AllocateValues(try library.decode(AllocateRequest.self, from: bytes))
          }
        )
      }
      #expect(one == other, "\(bytes)")
    }
  }

  @Test(
    "a request to free blocks reads as protobuf-c reads it, however it is bent", arguments: [4, 5])
  func free(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    for _ in 0..<20_000 {
      let bytes = bent(request(&random, isFree: true), &random)
      let (one, other) = bytes.withUnsafeBytes { bytes in
        (
          outcome { () throws(DecodeFailure) in FreeValues(try hand.decodeFree(bytes)) },
          outcome { () throws(DecodeFailure) in
            FreeValues(try library.decode(FreeRequest.self, from: bytes))
          }
        )
      }
      #expect(one == other, "\(bytes)")
    }
  }

  @Test("nothing of one request is left in the next")
  func nothingStays() throws {
    let full: [UInt8] = [0x0A, 9, 0x0A, 1, 0x61, 0x28, 5, 0x30, 1, 0x38, 7, 0x12, 2, 8, 3]
    let first = try full.withUnsafeBytes { bytes throws(DecodeFailure) in
      AllocateValues(try hand.decodeAllocate(bytes))
    }
    #expect(
      first
        == AllocateValues(
          call: CallValues(pool: [0x61], ifRevision: 5, isDryRun: true, now: 7), count: 3))
    let bare = try ([0x0A, 0, 0x12, 0] as [UInt8]).withUnsafeBytes { bytes throws(DecodeFailure) in
      AllocateValues(try hand.decodeAllocate(bytes))
    }
    #expect(bare == AllocateValues(call: CallValues(), count: 0))
    let empty = try [UInt8]().withUnsafeBytes { bytes throws(DecodeFailure) in
      AllocateValues(try hand.decodeAllocate(bytes))
    }
    #expect(empty == AllocateValues(call: CallValues(), count: nil))
  }

  // MARK: Random requests

  private func request(_ random: inout SplitMix64, isFree: Bool) -> [UInt8] {
    var call: [UInt8] = []
    if random.next() % 2 == 0 {
      let name = (0..<random.next() % 5).map { _ in UInt8(0x61 + random.next() % 26) }
      call += [0x0A, UInt8(name.count)] + name
    }
    for key: UInt8 in [0x28, 0x30, 0x38] where random.next() % 3 == 0 {
      call +=
        [key] + varint(key == 0x30 ? random.next() % 2 : random.next() >> (random.next() % 64))
    }
    var operation: [UInt8] = []
    if isFree {
      var ids: [UInt8] = []
      for _ in 0..<random.next() % 6 { ids += varint(random.next() >> (33 + random.next() % 31)) }
      if !ids.isEmpty { operation = [0x0A, UInt8(ids.count)] + ids }
    } else if random.next() % 4 > 0 {
      operation = [8] + varint(random.next() >> (33 + random.next() % 31))
    }
    var bytes: [UInt8] = []
    if random.next() % 2 == 0 { bytes += [0x0A, UInt8(call.count)] + call }
    if random.next() % 8 > 0 { bytes += [0x12, UInt8(operation.count)] + operation }
    return bytes
  }

  /// Mostly as it is; sometimes with a byte changed, added, left out, or with a part said twice.
  private func bent(_ bytes: [UInt8], _ random: inout SplitMix64) -> [UInt8] {
    var bytes = bytes
    if bytes.isEmpty { return bytes }
    let place = Int(random.next() % UInt64(bytes.count))
    switch random.next() % 9 {
    case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
    case 1: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
    case 2: bytes.remove(at: place)
    case 3: bytes += bytes
    case 4: bytes += [0xA0, 6, 1]
    case 5:
      // The same number in more bytes than it needs.
      guard bytes[place] < 0x80 else { break }
      bytes[place] |= 0x80
      bytes.insert(
        contentsOf: [UInt8](repeating: 0x80, count: Int(random.next() % 9)) + [0], at: place + 1)
    default: break
    }
    return bytes
  }

  private func varint(_ value: UInt64) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    repeat {
      bytes.append(UInt8(rest & 0x7F) | (rest > 0x7F ? 0x80 : 0))
      rest >>= 7
    } while rest > 0
    return bytes
  }

  private enum Outcome<Values: Equatable>: Equatable {
    case read(Values)
    case refused(DecodeFailure)
  }

  private func outcome<Values>(
    _ read: () throws(DecodeFailure) -> Values
  ) -> Outcome<Values> {
    do throws(DecodeFailure) {
      return .read(try read())
    } catch {
      return .refused(error)
    }
  }
}

private struct CallValues: Equatable {
  var pool: [UInt8] = []
  var ifRevision: UInt64 = 0
  var isDryRun = false
  var now: UInt64 = 0
}

extension CallValues {
  init(_ call: CallMessage) {
    self.init(
      pool: Array(call.pool), ifRevision: call.ifRevision, isDryRun: call.isDryRun, now: call.nowMs)
  }
}

private struct AllocateValues: Equatable {
  var call: CallValues
  var count: UInt32?
  var isContiguous = false
  var preferred: [UInt32] = []
  var sizeClass: UInt32 = 0
}

extension AllocateValues {
  init(_ request: AllocateRequest) {
    self.init(
      call: CallValues(request.call), count: request.allocate?.count,
      isContiguous: request.allocate?.isContiguous ?? false,
      preferred: request.allocate.map { Array($0.preferredBlockIDs) } ?? [],
      sizeClass: request.allocate?.sizeClass ?? 0)
  }
}

private struct FreeValues: Equatable {
  var call: CallValues
  var ids: [UInt32]?
  var generations: [UInt32] = []

  init(_ request: FreeRequest) {
    call = CallValues(request.call)
    ids = request.freeBlocks.map { Array($0.blockIDs) }
    generations = request.freeBlocks.map { Array($0.generations) } ?? []
  }
}
