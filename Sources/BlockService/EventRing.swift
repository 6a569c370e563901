internal import Glibc

/// The latest batches of a pool's events, as they go to the wire, under consecutive numbers.
///
/// Bounded by batches and by bytes: what comes pushes out the oldest. The memory is asked for at once and
/// touched as it fills. A batch lies in one piece, and behind the one before it, but for the one with
/// which the memory begins anew; so whoever has much to catch up copies many at a time. None ends where the
/// memory does: offsets that follow one another are bytes that do.
package struct EventRing: ~Copyable {
  struct Place: BitwiseCopyable {
    /// Behind the beginning of all that was ever stored.
    var offset: UInt64
    /// With the prefix of the message.
    var byteCount: UInt32
    /// From the first byte to the events.
    var headerCount: UInt16
    var contents: EventContents
  }

  /// Bytes that one batch may take: so many fit several times.
  package let largestBatch: Int
  /// The number of the oldest batch that is kept, or `next` where none is.
  package private(set) var first: UInt64
  /// The number of the next batch.
  package private(set) var next: UInt64

  private let capacity: Int
  private let memory: UnsafeMutableRawPointer
  private let mostBatches: Int
  private let places: UnsafeMutablePointer<Place>
  /// Behind the latest batch.
  private var end: UInt64 = 0

  /// - Parameter first: The first number to be given.
  package init(bytes: Int, batches: Int, first: UInt64) {
    precondition(bytes >= EventOptions.leastRingBytes && batches > 0, "a ring without room")
    capacity = bytes
    largestBatch = min(bytes / 4, EventOptions.largestBatchBytes)
    mostBatches = batches
    // Its own mapping, for the advice must not stay with memory that others get.
    guard
      let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
      memory != MAP_FAILED
    else { preconditionFailure("no memory for a ring of \(bytes) bytes: error \(errno)") }
    // In pages of 4 KiB the first way round would have a fault for every other step, which costs more than
    // its events; in large ones a command has one now and then that takes a fraction of a millisecond. Where there
    // are no large pages, these are as before.
    madvise(memory, bytes, MADV_HUGEPAGE)
    self.memory = memory
    places = .allocate(capacity: batches)
    self.first = first
    next = first
  }

  deinit {
    munmap(memory, capacity)
    places.deallocate()
  }

  /// Forgets all, and counts from `first` again.
  mutating func restart(at first: UInt64) {
    self.first = first
    next = first
    end = 0
  }

  /// Room for the next batch, which the caller fills at once. What is in the way is forgotten.
  package mutating func append(
    byteCount: Int, headerCount: Int, contents: EventContents
  ) -> UnsafeMutableRawPointer {
    precondition(byteCount < capacity, "a batch that is larger than its ring")
    var begin = end
    let left = capacity - Int(begin % UInt64(capacity))
    if byteCount >= left { begin += UInt64(left) }
    end = begin + UInt64(byteCount)
    while first < next {
      if next - first < UInt64(mostBatches), end - place(of: first).offset <= UInt64(capacity) {
        break
      }
      first += 1
    }
    places[index(of: next)] = Place(
      offset: begin, byteCount: UInt32(byteCount), headerCount: UInt16(headerCount),
      contents: contents)
    next += 1
    return memory + Int(begin % UInt64(capacity))
  }

  /// Where the next batch goes, unless it turns out to be too large for what is left before the ring's end. A round
  /// of the ring has passed since anybody touched it, if anybody has, so that it is not in the cache.
  var nextPlace: UnsafeRawPointer {
    UnsafeRawPointer(memory + Int(end % UInt64(capacity)))
  }

  private func index(of number: UInt64) -> Int { Int(number % UInt64(mostBatches)) }

  /// Of a batch that is kept.
  func place(of number: UInt64) -> Place {
    precondition(number >= first && number < next, "a batch that is not kept")
    return places[index(of: number)]
  }

  /// The bytes of a batch that is kept. Borrowed, until the next one comes.
  package func bytes(of number: UInt64) -> UnsafeRawBufferPointer {
    let place = place(of: number)
    return UnsafeRawBufferPointer(
      start: memory + Int(place.offset % UInt64(capacity)), count: Int(place.byteCount))
  }

  /// The batches from `number` on that lie one behind the other, have nothing but `wanted` in them, and
  /// take `most` bytes or are one. Empty where the first has more. O(batches).
  package func run(
    from number: UInt64, _ wanted: EventContents, most: Int
  ) -> (bytes: UnsafeRawBufferPointer, batches: UInt64) {
    let begin = place(of: number)
    var count = 0
    var last = number
    while last < next {
      let place = places[index(of: last)]
      let isNext = place.offset == begin.offset + UInt64(count)
      if !isNext || !wanted.isSuperset(of: place.contents) { break }
      if count > 0 && count + Int(place.byteCount) > most { break }
      count += Int(place.byteCount)
      last += 1
    }
    let start = memory + Int(begin.offset % UInt64(capacity))
    return (UnsafeRawBufferPointer(start: start, count: count), last - number)
  }
}

/// What a batch has that not every subscriber wants.
package struct EventContents: OptionSet, BitwiseCopyable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) { self.rawValue = rawValue }

  /// Other kinds than stored, removed and cleared.
  static let moreKinds = EventContents(rawValue: 1)
  /// Token ids of stored blocks.
  static let tokenIDs = EventContents(rawValue: 2)
}
