import Foundation
import TestSupport
import Testing
import UVLoop

@Suite("event loop")
struct LoopTests {
  @Test("a timer fires after its time, again while it repeats, and not once stopped")
  func timer() throws {
    let loop = try EventLoop()
    var fired = 0
    var timer: LoopTimer?
    let start = EventLoop.clock
    timer = LoopTimer(on: loop) {
      fired += 1
      if fired == 3 { timer?.stop() }
    }
    #expect(timer?.isRunning == false)
    timer?.start(afterNanoseconds: 2_000_000, repeating: 1_000_000)
    #expect(timer?.isRunning == true)
    loop.run()
    #expect(fired == 3)
    #expect(EventLoop.clock - start >= 4_000_000)
    #expect(timer?.isRunning == false)
    timer = nil
  }

  @Test("a turn in which a timer fires does not sleep, even if it was due before the turn began")
  func dueTimer() throws {
    let loop = try EventLoop()
    var fired = 0
    let due = LoopTimer(on: loop) { fired += 1 }
    let far = LoopTimer(on: loop) { Issue.record("slept until the other timer") }
    far.start(afterNanoseconds: 5_000_000_000)
    due.start(afterNanoseconds: 1_000_000)
    let start = EventLoop.clock
    while EventLoop.clock < start + 3_000_000 {}
    loop.runOneTurn()
    #expect(fired == 1)
    far.stop()
  }

  @Test("deadlines fire in order, and cleared ones never", arguments: [1, 2, 3] as [UInt64])
  func deadlines(seed: UInt64) throws {
    let loop = try EventLoop()
    let queue = DeadlineQueue(on: loop)
    var random = SplitMix64(seed: seed)
    var fired: [UInt64] = []
    let start = EventLoop.clock
    var deadlines: [(UInt64, Deadline)] = []
    for _ in 0..<200 {
      let time = start + UInt64.random(in: 0...8_000_000, using: &random)
      let deadline = Deadline { fired.append(time) }
      deadlines.append((time, deadline))
      queue.set(deadline, at: time + 50_000_000)
      queue.set(deadline, at: time)
    }
    var expected: [UInt64] = []
    for (index, (time, deadline)) in deadlines.enumerated() {
      if index % 3 == 0 { queue.clear(deadline) } else { expected.append(time) }
    }
    #expect(queue.pendingCount == expected.count)
    // The queue alone does not keep a loop running.
    let keeper = LoopTimer(on: loop) {}
    keeper.start(afterNanoseconds: 1_000_000, repeating: 1_000_000)
    while queue.pendingCount > 0 { loop.runOneTurn() }
    #expect(fired == expected.sorted())
    #expect(EventLoop.clock >= expected.max()!)
  }

  @Test("a deadline that is due again as soon as it has fired lets the loop turn")
  func restlessDeadline() throws {
    let loop = try EventLoop()
    let queue = DeadlineQueue(on: loop)
    var fired = 0
    var restless: Deadline?
    let deadline = Deadline {
      fired += 1
      // Endless without the rule: it is in the past whenever the clock is asked.
      if fired < 1_000, let restless { queue.set(restless, at: 1) }
    }
    restless = deadline
    queue.set(deadline, at: 1)
    // The queue alone does not keep a loop running.
    let keeper = LoopTimer(on: loop) {}
    keeper.start(afterNanoseconds: 1_000_000, repeating: 1_000_000)
    var turns = 0
    while fired < 3 {
      loop.runOneTurn()
      turns += 1
    }
    #expect(fired == 3 && turns >= 3)
    keeper.stop()
    queue.clear(deadline)
    restless = nil
  }

  @Test("a deadline dropped by its owner is forgotten")
  func droppedDeadline() throws {
    let loop = try EventLoop()
    let queue = DeadlineQueue(on: loop)
    var deadline: Deadline? = Deadline { Issue.record("fired") }
    queue.set(deadline!, at: 1)
    #expect(deadline!.isSet)
    deadline = nil
    #expect(queue.pendingCount == 0)
  }

  @Test("work at the end of a turn runs once per turn, however often it is asked for")
  func endOfTurn() throws {
    let loop = try EventLoop()
    var runs = 0
    let hook = EndOfTurnHook { runs += 1 }
    var turns = 0
    var timer: LoopTimer?
    timer = LoopTimer(on: loop) {
      turns += 1
      loop.atEndOfTurn(hook)
      loop.atEndOfTurn(hook)
      #expect(runs == turns - 1)
      if turns == 3 { timer?.stop() }
    }
    timer?.start(afterNanoseconds: 1_000_000, repeating: 1_000_000)
    loop.run()
    #expect(runs == 3)
    timer = nil
  }

  @Test("the clock stands still within a turn and never goes back")
  func clock() throws {
    let loop = try EventLoop()
    var times: [UInt64] = []
    var timer: LoopTimer?
    timer = LoopTimer(on: loop) {
      times.append(loop.now)
      times.append(loop.now)
      if times.count == 6 { timer?.stop() }
    }
    timer?.start(afterNanoseconds: 1_000_000, repeating: 1_000_000)
    loop.run()
    #expect(times[0] == times[1] && times[2] == times[3] && times[4] == times[5])
    #expect(times[0] < times[2] && times[2] < times[4])
    timer = nil
  }

  @Test("a signal reaches its source and does not keep the loop running")
  func signal() throws {
    let loop = try EventLoop()
    var received = 0
    let source = try SignalSource(on: loop, signal: SIGUSR2) {
      received += 1
      loop.stop()
    }
    loop.run()  // Returns at once: nothing else is open.
    kill(getpid(), SIGUSR2)
    let keeper = LoopTimer(on: loop) {}
    keeper.start(afterNanoseconds: 1_000_000_000, repeating: 1_000_000_000)
    loop.run()
    #expect(received == 1)
    withExtendedLifetime(source) {}
  }
}
