/// Any number of deadlines on one timer: a binary heap ordered by time.
///
/// Setting and clearing cost O(log n) and allocate nothing once the heap has grown to the number
/// of deadlines that are pending together. The timer is only moved when the earliest deadline
/// becomes earlier; a deadline that was cleared costs at most one early wake-up.
package final class DeadlineQueue {
  private let loop: EventLoop
  private var timer: LoopTimer?
  private var heap: [Slot] = []
  /// When the timer fires; `.max` = it is stopped.
  private var armedFor = UInt64.max
  /// The timer is set when all that are due have fired.
  private var isFiring = false

  private struct Slot {
    var time: UInt64
    /// Pending deadlines are kept alive by their owners, who clear them in `deinit` at the latest.
    var deadline: Unmanaged<Deadline>
  }

  package init(on loop: EventLoop) {
    self.loop = loop
    timer = LoopTimer(on: loop) { [unowned self] in fire() }
    timer?.keepsLoopRunning(false)
  }

  /// Deadlines set and neither fired nor cleared.
  package var pendingCount: Int { heap.count }

  /// Has `deadline` fire at `time` (nanoseconds of the loop's clock), or at another time than it was
  /// set for before.
  package func set(_ deadline: Deadline, at time: UInt64) {
    clear(deadline)
    heap.append(Slot(time: time, deadline: .passUnretained(deadline)))
    deadline.queue = self
    deadline.index = heap.count - 1
    siftUp(heap.count - 1)
    if time < armedFor, !isFiring { arm(for: time) }
  }

  package func clear(_ deadline: Deadline) {
    let index = deadline.index
    guard index >= 0 else { return }
    precondition(deadline.queue === self, "a deadline cleared in a queue it is not in")
    deadline.index = -1
    deadline.queue = nil
    let last = heap.removeLast()
    if index < heap.count {
      place(last, at: index)
      siftUp(index)
      siftDown(index)
    }
  }

  private func arm(for time: UInt64, notBefore least: UInt64 = 0) {
    armedFor = time
    let now = EventLoop.clock
    timer?.start(afterNanoseconds: max(least, time > now ? time - now : 0))
  }

  private func fire() {
    armedFor = .max
    isFiring = true
    // The clock of the turn could lie before the deadline that woke us.
    let now = EventLoop.clock
    // Not for ever: a deadline that sets itself again by the turn's time, which is older, is due at
    // once, and the loop has others to serve. Nor does a timer of 0 let it: it fires in the same turn.
    var most = heap.count
    while most > 0, let first = heap.first, first.time <= now {
      most -= 1
      let deadline = first.deadline.takeUnretainedValue()
      clear(deadline)
      deadline.onFire()
    }
    isFiring = false
    if let first = heap.first { arm(for: first.time, notBefore: 1) }
  }

  @inline(__always)
  private func place(_ slot: Slot, at index: Int) {
    heap[index] = slot
    slot.deadline._withUnsafeGuaranteedRef { $0.index = index }
  }

  private func siftUp(_ start: Int) {
    var index = start
    let slot = heap[index]
    while index > 0 {
      let parent = (index - 1) / 2
      if heap[parent].time <= slot.time { break }
      place(heap[parent], at: index)
      index = parent
    }
    if index != start { place(slot, at: index) }
  }

  private func siftDown(_ start: Int) {
    var index = start
    let slot = heap[index]
    while true {
      var child = 2 * index + 1
      if child >= heap.count { break }
      if child + 1 < heap.count, heap[child + 1].time < heap[child].time { child += 1 }
      if slot.time <= heap[child].time { break }
      place(heap[child], at: index)
      index = child
    }
    if index != start { place(slot, at: index) }
  }
}

/// One thing that happens at a time, unless cleared before. Reusable.
package final class Deadline {
  fileprivate var index = -1
  fileprivate unowned(unsafe) var queue: DeadlineQueue?
  fileprivate let onFire: () -> Void

  package init(onFire: @escaping () -> Void) { self.onFire = onFire }

  deinit { queue?.clear(self) }

  package var isSet: Bool { index >= 0 }
}
