@testable import Analysis
import Testing

/// All times in milliseconds; looks every 100 ms at 1 % of a core, where nothing else is said.
@Suite("when pools are looked at")
struct LookScheduleTests {
  private func schedule(every interval: UInt64 = 100, percent: Double = 1) -> LookSchedule {
    LookSchedule(
      SampleBudget(intervalNanoseconds: interval * 1_000_000, percent: percent), at: 0)
  }

  private func decide(
    _ schedule: LookSchedule, at now: UInt64, watch: UInt64 = 0
  ) -> LookSchedule.Decision {
    schedule.decide(at: now * 1_000_000, watchDue: watch * 1_000_000)
  }

  private func done(
    _ schedule: inout LookSchedule, _ decision: LookSchedule.Decision, at now: UInt64,
    microseconds: UInt64 = 0
  ) {
    schedule.done(decision, from: now * 1_000_000, to: now * 1_000_000 + microseconds * 1_000)
  }

  private func delay(_ schedule: LookSchedule, from now: UInt64, watch: UInt64 = 0) -> UInt64 {
    schedule.delay(from: now * 1_000_000, watchDue: watch * 1_000_000) / 1_000_000
  }

  /// When looks are taken in a second beside a watcher of this interval, and nothing costs anything.
  private func looks(every interval: UInt64, watching: UInt64) -> [UInt64] {
    var schedule = schedule(every: interval)
    var looks: [UInt64] = []
    var timer = delay(schedule, from: 0)
    var watch = watching
    for now in 1...1_000 as ClosedRange<UInt64> {
      if now == watch {
        // As in the daemon, what is due with the watchers is looked at before they go on.
        if schedule.isDueWithWatchers(at: now * 1_000_000) {
          done(&schedule, .sample, at: now)
          looks.append(now)
          timer = now + delay(schedule, from: now, watch: watch)
        }
        watch = now + watching
      }
      guard now == timer else { continue }
      let decision = decide(schedule, at: now, watch: watch)
      if decision == .sample { looks.append(now) }
      done(&schedule, decision, at: now)
      timer = now + delay(schedule, from: now, watch: watch)
    }
    return looks
  }

  @Test("looks that cost nothing are on the grid, and a timer that is a tick early does")
  func grid() {
    var schedule = schedule()
    #expect(delay(schedule, from: 0) == 100)
    #expect(decide(schedule, at: 99) == .sample)
    done(&schedule, .sample, at: 99)
    #expect(delay(schedule, from: 99) == 100)
    #expect(decide(schedule, at: 203) == .sample)
    done(&schedule, .sample, at: 203)
    // Not 303.
    #expect(delay(schedule, from: 203) == 97)
  }

  @Test("between looks that are a second apart what has changed is read every 100 ms")
  func catchUps() {
    var schedule = schedule(every: 1_000)
    #expect(delay(schedule, from: 0) == 100)
    #expect(decide(schedule, at: 100) == .catchUp)
    done(&schedule, .catchUp, at: 100, microseconds: 2_000)
    // 2 ms of work are 1 % of 200 ms: 198 ms without any behind 102.
    #expect(delay(schedule, from: 102) == 198)
    #expect(decide(schedule, at: 299) == .wait)
    #expect(decide(schedule, at: 300) == .catchUp)
  }

  @Test("a watcher at half the interval, or at nearly all of it, makes looks no more often")
  func watchers() {
    // Each look goes with the tick of the watchers that is at most 50 ms before or behind its time.
    #expect(looks(every: 100, watching: 50) == [50, 150, 250, 350, 450, 550, 650, 750, 850, 950])
    #expect(looks(every: 100, watching: 90) == [90, 180, 270, 360, 450, 630, 720, 810, 900, 990])
    #expect(looks(every: 100, watching: 10).count == 10)
    #expect(looks(every: 100, watching: 70).count <= 11)
  }

  @Test("a look is put off to be with a watcher that comes soon, and by no others after that")
  func putOff() {
    let schedule = schedule()
    #expect(decide(schedule, at: 100, watch: 140) == .wait)
    #expect(delay(schedule, from: 100, watch: 140) == 41)
    #expect(schedule.isDueWithWatchers(at: 140_000_000))
    // The watcher has gone.
    #expect(decide(schedule, at: 141, watch: 140) == .sample)
    // More than half an interval is too long, also in steps.
    #expect(decide(schedule, at: 100, watch: 151) == .sample)
    #expect(decide(schedule, at: 140, watch: 180) == .sample)
  }

  @Test("where the budget puts a look off it is not early, with watchers or by a tick")
  func budget() {
    var schedule = schedule()
    #expect(decide(schedule, at: 100) == .sample)
    // 1.5 ms are 1 % of 150 ms: until 100 + 150.
    done(&schedule, .sample, at: 100, microseconds: 1_500)
    #expect(delay(schedule, from: 101) == 149)
    for now in [150, 200, 249] as [UInt64] {
      #expect(!schedule.isDueWithWatchers(at: now * 1_000_000))
      #expect(decide(schedule, at: now) == .wait)
    }
    #expect(schedule.isDueWithWatchers(at: 250_000_000))
    #expect(decide(schedule, at: 250) == .sample)
    // The time 200 has gone by; the next look is for 300, and not before 250 + 150.
    done(&schedule, .sample, at: 250, microseconds: 1_500)
    #expect(delay(schedule, from: 251) == 149)
    #expect(decide(schedule, at: 300) == .wait)
    #expect(decide(schedule, at: 400) == .sample)
  }

  @Test("times that went by during a long look are left out")
  func missed() {
    var schedule = schedule(percent: 100)
    done(&schedule, .sample, at: 100, microseconds: 250_000)
    #expect(delay(schedule, from: 350) == 50)
    #expect(decide(schedule, at: 398) == .catchUp)
    #expect(decide(schedule, at: 400) == .sample)
  }
}
