import Testing

@testable import UVLoop

/// Who is read when, of the streams that always have more.
@Suite("the turns of bulk reading")
struct BulkReadingTests {
  /// Three streams that wait, and who was resumed since the last look.
  private final class Queue {
    var bulk = BulkReading()
    var resumed: [Int] = []
    var turns: [BulkReading.Turn] = []

    init(_ count: Int = 3) {
      turns = (0..<count).map { number in
        BulkReading.Turn { [unowned self] in resumed.append(number) }
      }
      _ = bulk.next(at: 0)
      for turn in turns { bulk.wait(turn) }
    }

    /// The end of a turn of the loop, in which others had something to be read or had not.
    func endTurn(at milliseconds: Double, others: Bool) -> [Int] {
      if others { bulk.othersDidRead() }
      resumed = []
      for turn in bulk.next(at: UInt64(milliseconds * 1_000_000)) { turn.resume?() }
      return resumed
    }
  }

  @Test("all are read when nobody else had anything for a millisecond")
  func quiet() {
    let queue = Queue()
    queue.bulk.took(3_000_000)
    #expect(queue.endTurn(at: 5, others: true) == [])
    #expect(queue.endTurn(at: 5.9, others: false) == [])
    #expect(queue.endTurn(at: 6, others: false) == [0, 1, 2])
    #expect(queue.bulk.isEmpty)
  }

  @Test("eight a turn are read of many, when nobody else had anything")
  func many() {
    let queue = Queue(19)
    #expect(queue.endTurn(at: 1, others: false) == Array(0..<8))
    #expect(queue.endTurn(at: 1, others: false) == Array(8..<16))
    #expect(queue.endTurn(at: 1, others: false) == [16, 17, 18])
  }

  @Test("one a turn is read also in a turn of nobody else's, while the others are not quiet")
  func pause() {
    let queue = Queue()
    #expect(queue.endTurn(at: 5, others: true) == [0])
    #expect(queue.endTurn(at: 5.5, others: false) == [1])
    #expect(queue.bulk.isOpen)
    queue.bulk.took(3_000_000)
    #expect(queue.endTurn(at: 5.9, others: false) == [])
    #expect(!queue.bulk.isOpen)
    #expect(queue.endTurn(at: 6, others: false) == [2])
  }

  @Test("one a turn is read, in the order in which they came, while others have something")
  func busy() {
    let queue = Queue()
    #expect(queue.endTurn(at: 1, others: true) == [0])
    queue.bulk.wait(queue.turns[0])
    #expect(queue.endTurn(at: 2, others: true) == [1])
    #expect(queue.endTurn(at: 3, others: true) == [2])
    #expect(queue.endTurn(at: 4, others: true) == [0])
    #expect(queue.bulk.isEmpty)
  }

  @Test("together they have a twentieth of the time, and a millisecond saved up")
  func share() {
    let queue = Queue()
    // 1 ms is saved up; 3 ms are taken, so 2 ms are owed, which are there again after 40 ms.
    #expect(queue.endTurn(at: 100, others: true) == [0])
    queue.bulk.took(3_000_000)
    #expect(queue.endTurn(at: 120, others: true) == [])
    #expect(queue.endTurn(at: 140, others: true) == [])
    #expect(queue.endTurn(at: 141, others: true) == [1])
    // However long nothing came, no more than 1 ms is saved up.
    queue.bulk.took(100_000)
    #expect(queue.endTurn(at: 10_000, others: true) == [2])
    queue.bulk.took(2_000_000)
    queue.bulk.wait(queue.turns[0])
    #expect(queue.endTurn(at: 10_020, others: true) == [])
    #expect(queue.endTurn(at: 10_021, others: true) == [0])
  }

  @Test("what they took is owed for a fifth of a second at most, also what nobody else wanted")
  func overdrawn() {
    let queue = Queue()
    queue.bulk.took(50_000_000)
    #expect(queue.endTurn(at: 1, others: true) == [])
    #expect(queue.endTurn(at: 2, others: false) == [0, 1, 2])
    queue.bulk.took(60_000_000_000)
    queue.bulk.wait(queue.turns[0])
    #expect(queue.endTurn(at: 202, others: true) == [])
    #expect(queue.endTurn(at: 203, others: true) == [0])
  }

  @Test("no more is owed than a fifth of a second has in it")
  func owed() {
    let queue = Queue()
    _ = queue.endTurn(at: 1_000, others: true)
    queue.bulk.took(60_000_000_000)
    #expect(queue.endTurn(at: 1_200, others: true) == [])
    #expect(queue.endTurn(at: 1_201, others: true) == [1])
  }

  @Test("one that waits already does not wait twice, and one that closed is passed over")
  func twice() {
    let queue = Queue()
    queue.bulk.wait(queue.turns[1])
    queue.turns[0].resume = nil
    #expect(queue.endTurn(at: 1, others: false) == [1, 2])
  }

  @Test("those who closed take nobody's turn, and do not wait for ever while more is owed")
  func closed() {
    let queue = Queue()
    queue.turns[0].resume = nil
    #expect(queue.endTurn(at: 1, others: true) == [1])
    queue.bulk.took(50_000_000)
    queue.turns[2].resume = nil
    #expect(queue.endTurn(at: 2, others: true) == [])
    #expect(queue.bulk.isEmpty)
  }
}
