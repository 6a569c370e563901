internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: reads.
extension QuireService {
  /// Sequences per page when the request does not say, and at most.
  static let defaultPageSize: UInt32 = 100
  static let largestPageSize: UInt32 = 1_000
  /// A page ends early once it is this large, so that long tables cannot pass the message limit.
  static let pageBytes = 1 << 20
  /// The wire's `SequenceState` of a name that only has a promise: no state of a sequence.
  static let reservedState: UInt32 = 5

  func getSequence(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetSequenceRequest.self, bytes)
    let pool = try readPool(request.call).pool
    let id = request.sequenceID
    var fields = SequenceFields(reserved: id, in: pool)
    if let view = pool.describe(session: 0, sequence: id) {
      fields = SequenceFields(view, withBlockIDs: true)
    } else if fields.reservedBlocks == 0 {
      let refusal = Refusal(.unknownSequence, field: .sequenceID, sequence: id)
      throw CallFailure(RefusalStatus.make(refusal, of: nil, in: pool))
    }
    packer.reset()
    packer.sequence(fields)
    send(reply)
  }

  func listSequences(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(ListSequencesRequest.self, bytes)
    let pool = try readPool(request.call).pool
    let size = try Self.pageSize(request.pageSize)
    guard var cursor = ListCursor(request.pageToken) else {
      throw .invalid("page_token", "is none that this server gave out")
    }
    if request.state == Self.reservedState, case .slot = cursor { cursor = .name(0) }
    var page: [SequenceFields] = []
    var next: ListCursor?
    if case .slot(let slot) = cursor {
      let state = SequenceState(rawValue: UInt8(request.state))
      next = addSequences(
        of: pool, from: slot, size, state, withBlockIDs: request.includesBlockIDs, to: &page)
      cursor = .name(0)
    }
    if case .name(let first) = cursor, next == nil,
      request.state == 0 || request.state == Self.reservedState
    {
      // One more says that there is another page.
      let room = size - page.count
      let names = pool.reservedNames(session: 0, from: first, limit: room + 1)
      page += names.prefix(room).map { SequenceFields(reserved: $0, in: pool) }
      if names.count > room { next = .name(names[room]) }
    }
    packer.reset()
    packer.listSequencesReplyAfterSequences(nextPageToken: next?.token ?? "")
    for fields in page.reversed() { packer.listedSequence(fields) }
    packer.listSequencesReplyBeforeSequences(revision: pool.revision)
    send(reply)
  }

  /// Returns where the next page begins, if the sequences are not all on this one.
  private func addSequences(
    of pool: KVPool, from slot: UInt32, _ size: Int, _ state: SequenceState?, withBlockIDs: Bool,
    to page: inout [SequenceFields]
  ) -> ListCursor? {
    var cursor = slot
    var pageBytes = 0
    while let (view, next) = pool.nextSequence(from: cursor, session: 0, state: state) {
      let fields = SequenceFields(view, withBlockIDs: withBlockIDs)
      pageBytes += fields.blockIDs.count * 5 + fields.label.count + 96
      if page.count == size || (pageBytes > Self.pageBytes && !page.isEmpty) {
        return .slot(cursor)
      }
      page.append(fields)
      cursor = next
    }
    return nil
  }

  static func pageSize(_ wanted: UInt32) throws(CallFailure) -> Int {
    guard wanted <= largestPageSize else {
      throw .invalid("page_size", "must be at most \(largestPageSize)")
    }
    return Int(wanted == 0 ? defaultPageSize : wanted)
  }
}

/// Where a page of a list begins: first come the sequences by their slots, then the names that only
/// have a promise. As a token the number in decimal, `r` before it for a name; empty = slot 0.
private enum ListCursor: Equatable {
  case slot(UInt32)
  case name(SequenceID)

  init?(_ token: UnsafeBufferPointer<UInt8>) {
    let text = String(decoding: token, as: UTF8.self)
    if text.isEmpty {
      self = .slot(0)
    } else if text.hasPrefix("r"), let name = SequenceID(text.dropFirst()) {
      self = .name(name)
    } else if let slot = UInt32(text) {
      self = .slot(slot)
    } else {
      return nil
    }
  }

  var token: String {
    switch self {
    case .slot(let slot): "\(slot)"
    case .name(let name): "r\(name)"
    }
  }
}

extension SequenceFields {
  /// Of a name that no sequence has.
  init(reserved id: SequenceID, in pool: KVPool) {
    self.init()
    sequenceID = id
    state = QuireService.reservedState
    reservedBlocks = pool.promisedBlocks(session: 0, sequence: id)
    sizeClass = pool.promisedClass(session: 0, sequence: id)
  }

  init(_ view: SequenceView, withBlockIDs: Bool) {
    self.init()
    sequenceID = view.sequence
    session = view.session
    label = view.label
    state = UInt32(view.state.rawValue)
    tokens = view.tokens
    computedTokens = view.computedTokens
    if withBlockIDs { blockIDs = view.blocks }
    exclusiveBlocks = view.exclusiveBlocks
    sharedBlocks = view.sharedBlocks
    runs = view.runs
    preemptions = view.preemptions
    priority = view.priority
    admittedRevision = view.admittedRevision
    sizeClass = view.sizeClass
    reservedBlocks = view.reservedBlocks
  }
}
