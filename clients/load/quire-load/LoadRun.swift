import ForeignText
import GRPCClient
import GRPCWire
import Glibc
import TLSEngine
import UVLoop
import Workloads
import ToolSupport

/// One run: plays a plan over one connection and measures it.
///
/// Drives the model by the clock: waits until a step is due, sends it, runs the loop until its answer
/// is here. Owns the connection and the loop; knows no rule of scheduling.
final class LoadRun {
  private let plan: RequestPlan
  private let options: RunOptions
  private let loop: EventLoop
  private let channel: GRPCChannel
  private let step: GRPCMethod
  private let stats: GRPCMethod
  private let pool: GRPCMethod
  private var codec: StepCodec
  private var status: StatusLine

  private var signals: [SignalSource] = []
  private var isInterrupted = false
  private var alarm: LoopTimer?

  // Of the call under way.
  private var outcome: Status?
  private var received: UInt64 = 0

  // Kept from step to step.
  private let encoding: MessageEncoding?
  private var stepPlan = StepPlan()
  private var result = StepResult()

  /// An answer that takes longer ends the run.
  private static let callTimeout: UInt64 = 60_000_000_000
  /// How long the head of the line may be refused while nothing of ours runs.
  private static let patience: UInt64 = 30_000_000_000

  init(plan: RequestPlan, options: RunOptions) throws(RunFailure) {
    self.plan = plan
    self.options = options
    do throws(UVError) {
      loop = try EventLoop()
    } catch {
      throw RunFailure(.server, "\(error)")
    }
    let tls: TLSContext?
    do throws(UsageError) {
      tls = try options.server.tls.map { files throws(UsageError) in try files.context() }
    } catch {
      throw RunFailure(.usage, "\(error)")
    }
    do throws(AddressError) {
      channel = try GRPCChannel(loop: loop, target: options.server.target, tls: tls)
    } catch {
      throw RunFailure(.usage, "--target: \(error)")
    }
    step = channel.method("/quire.v1.Scheduler/Step")
    stats = channel.method("/quire.v1.Analyzer/GetStats")
    pool = channel.method("/quire.v1.Pools/GetPool")
    encoding = options.compression.map {
      switch $0 {
      case .gzip: .gzip
      case .deflate: .deflate
      }
    }
    codec = StepCodec(pool: options.server.pool)
    status = StatusLine(isQuiet: options.isQuiet, isPlain: options.hasPlainStatus)
  }

  /// Plays the plan to its end, or until it must stop; frees everything it holds in any case.
  func play(command: String, version: String) throws(RunFailure) -> RunReport {
    defer { close() }
    try watchSignals()
    let before = try firstLook()
    let hashing = try askHashing()
    var model = SchedulerModel(
      plan,
      SchedulerModel.Configuration(
        blocks: before.capacityBlocks, blockSize: before.blockSize,
        availableBlocks: before.availableBlocks,
        tickNanoseconds: options.decodeMilliseconds * 1_000_000, speed: options.speed,
        firstSequence: Self.firstSequence(), hashing: hashing))

    // The clock starts late enough for the first step to be on time.
    let start = EventLoop.clock + 1_000_000
    var interruption: String?
    while let due = model.nextInstant, model.failure == nil {
      if interruption == nil, let reason = reasonToStop(model, start) {
        interruption = reason
        model.cancel(at: max(EventLoop.clock, start) - start)
        continue
      }
      if interruption == nil, !wait(until: start + due) { continue }
      perform(&model, start)
      status.show(model, at: received - start)
    }
    if model.failure != nil { cleanUp(&model, start) }
    status.finish()

    var report = RunReport(
      version: version, command: command, target: options.server.target, pool: options.server.pool,
      seed: options.seed, plan: plan, speed: options.speed,
      tickNanoseconds: options.decodeMilliseconds * 1_000_000,
      wallNanoseconds: max(received, start) - start, metrics: model.metrics)
    report.interruption = interruption
    report.isInterruptedByUser = isInterrupted
    if let after = look() { report.leakCheck = LeakCheck(before: before, after: after) }
    return report
  }

  // MARK: - Steps

  /// Sends the step that is due and hands its answer to the model. A call that fails is an answer
  /// too: one that refuses the step.
  private func perform(_ model: inout SchedulerModel, _ start: UInt64, isCleaningUp: Bool = false) {
    model.planStep(&stepPlan)
    let request = codec.request(for: stepPlan, ignoresMissing: isCleaningUp)
    var isRead = false
    let sent = max(EventLoop.clock, start)
    let status = call(step, request) { reply in
      isRead = self.codec.read(reply, to: self.stepPlan, into: &self.result)
    }
    if status.code != .ok {
      result.removeAll()
      result.refused = Refused(
        reason: 15, detail: "Scheduler.Step failed: \(status.code): \(status.message)")
    } else if !isRead {
      result.removeAll()
      result.refused = Refused(reason: 15, detail: "the reply to Scheduler.Step makes no sense")
    }
    received = max(received, sent)
    model.apply(result, to: stepPlan, sent: sent - start, received: received - start)
  }

  /// After a failure: one attempt to free whatever the pool may hold for this run.
  private func cleanUp(_ model: inout SchedulerModel, _ start: UInt64) {
    model.cancel(at: max(EventLoop.clock, start) - start)
    if !model.isDone { perform(&model, start, isCleaningUp: true) }
  }

  private func reasonToStop(_ model: SchedulerModel, _ start: UInt64) -> String? {
    if isInterrupted { return "stopped by a signal" }
    if let since = model.blockedSince, EventLoop.clock > start + since + Self.patience {
      return "nothing fits and nothing of this run is left to finish: "
        + "somebody else holds the pool's blocks"
    }
    return nil
  }

  // MARK: - The pool before and after

  /// Connects and asks what the pool is like.
  private func firstLook() throws(RunFailure) -> PoolSnapshot {
    var snapshot: PoolSnapshot?
    let request = StatsCodec.request(pool: options.server.pool)
    let status = request.withUnsafeBytes {
      call(stats, $0) { snapshot = StatsCodec.read($0) }
    }
    guard status.code == .ok else {
      throw RunFailure(
        .server, "\(options.server.target): Analyzer.GetStats: \(status.code): \(status.message)")
    }
    if let snapshot, snapshot.capacityBlocks > 0 && snapshot.blockSize == 0 {
      throw RunFailure(
        .server,
        "\(options.server.target): the pool has size classes; a load is for blocks of one size")
    }
    guard let snapshot, snapshot.capacityBlocks > 0, snapshot.blockSize > 0,
      snapshot.capacityBlocks <= 1 << 28
    else { throw RunFailure(.server, "\(options.server.target): the pool's stats make no sense") }
    return snapshot
  }

  private func askHashing() throws(RunFailure) -> PoolHashing {
    var hashing: PoolHashing?
    let status = PoolCodec.request(pool: options.server.pool).withUnsafeBytes {
      call(pool, $0) { hashing = PoolCodec.read($0) }
    }
    guard status.code == .ok, let hashing else {
      throw RunFailure(
        .server, "\(options.server.target): Pools.GetPool: \(status.code): \(status.message)")
    }
    return hashing
  }

  private func look() -> PoolSnapshot? {
    var snapshot: PoolSnapshot?
    _ = StatsCodec.request(pool: options.server.pool).withUnsafeBytes {
      call(stats, $0) { snapshot = StatsCodec.read($0) }
    }
    return snapshot
  }

  /// Sequence numbers start where no other run's do: ids of a run that died may still be held.
  private static func firstSequence() -> UInt64 {
    (RandomStream.mix(EventLoop.clock ^ UInt64(getpid()) << 40) & 0xFFFF_FFFF) << 31 | 1
  }

  // MARK: - The loop

  /// Makes one call and runs the loop until it has ended; `received` is when. A call that a server
  /// which goes away never began is begun again.
  private func call(
    _ method: GRPCMethod, _ request: UnsafeRawBufferPointer,
    _ read: @escaping (UnsafeRawBufferPointer) -> Void
  ) -> Status {
    var attemptsLeft = 3
    repeat {
      attemptsLeft -= 1
      outcome = nil
      channel.unary(
        method, message: request, timeoutNanoseconds: Self.callTimeout, encoding: encoding
      ) { [unowned self] status, reply in
        received = EventLoop.clock
        if status.code == .ok { read(reply) }
        outcome = status
      }
      while outcome == nil, loop.runOneTurn() {}
    } while attemptsLeft > 0 && outcome?.wasNeverStarted ?? false
    return outcome ?? Status(.unknown, "the loop ended before the call")
  }

  /// Waits for an instant. False when a signal came first.
  ///
  /// Nothing is under way meanwhile, so no answer can come. The loop's timers count milliseconds and
  /// the kernel wakes a sleeper some 50 us late, while steps are due every 500 us at speed 60: a timer
  /// brings us near, a sleep nearer, and the clock is watched for the rest.
  private func wait(until instant: UInt64) -> Bool {
    let near: UInt64 = 2_000_000
    let nearer: UInt64 = 80_000
    while true {
      if isInterrupted { return false }
      let now = EventLoop.clock
      guard now < instant else { return true }
      if instant - now > near {
        alarm?.start(afterNanoseconds: instant - now - near)
        loop.runOneTurn()
        alarm?.stop()
      } else if instant - now > nearer {
        loop.runOneTurn(waiting: false)
        let wake = instant - nearer
        var time = timespec(tv_sec: Int(wake / 1_000_000_000), tv_nsec: Int(wake % 1_000_000_000))
        _ = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil)  // Finer than loop timers.
      }
    }
  }

  private func watchSignals() throws(RunFailure) {
    alarm = LoopTimer(on: loop) {}
    do throws(UVError) {
      for number in [SIGINT, SIGTERM] {
        signals.append(
          try SignalSource(on: loop, signal: number) { [unowned self] in
            // Asked twice: leave at once, whatever is held.
            if isInterrupted { exit(ExitCode.interrupted.rawValue) }
            isInterrupted = true
          })
      }
    } catch {
      throw RunFailure(.server, "\(error)")
    }
  }

  private func close() {
    signals.removeAll()
    alarm = nil
    channel.close()
    loop.run()
  }
}

/// Why a run could not begin; what a server says of it can be printed.
struct RunFailure: Error {
  var code: ExitCode
  var message: String
  init(_ code: ExitCode, _ message: String) {
    self.code = code
    self.message = ForeignText.printable(message)
  }
}
