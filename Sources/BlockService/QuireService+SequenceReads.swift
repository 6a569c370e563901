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

  func getSequence(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetSequenceRequest.self, bytes)
    let pool = try readPool(request.call).pool
    guard let view = pool.describe(session: 0, sequence: request.sequenceID) else {
      let refusal = Refusal(.unknownSequence, field: .sequenceID, sequence: request.sequenceID)
      throw CallFailure(RefusalStatus.make(refusal, of: nil, in: pool))
    }
    packer.reset()
    packer.sequence(SequenceFields(view, withBlockIDs: true))
    send(reply)
  }

  func listSequences(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(ListSequencesRequest.self, bytes)
    let pool = try readPool(request.call).pool
    let size = try Self.pageSize(request.pageSize)
    guard var cursor = Self.cursor(request.pageToken) else {
      throw .invalid("page_token", "is none that this server gave out")
    }
    var page: [SequenceFields] = []
    var pageBytes = 0
    var isFull = false
    let state = SequenceState(rawValue: UInt8(truncatingIfNeeded: request.state))
    while let (view, next) = pool.nextSequence(from: cursor, session: 0, state: state) {
      let fields = SequenceFields(view, withBlockIDs: request.includesBlockIDs)
      pageBytes += fields.blockIDs.count * 5 + fields.label.count + 96
      isFull = page.count == size || (pageBytes > Self.pageBytes && !page.isEmpty)
      if isFull { break }
      page.append(fields)
      cursor = next
    }
    packer.reset()
    packer.listSequencesReplyAfterSequences(nextPageToken: isFull ? "\(cursor)" : "")
    for fields in page.reversed() { packer.listedSequence(fields) }
    packer.listSequencesReplyBeforeSequences(revision: pool.revision)
    send(reply)
  }

  static func pageSize(_ wanted: UInt32) throws(CallFailure) -> Int {
    guard wanted <= largestPageSize else {
      throw .invalid("page_size", "must be at most \(largestPageSize)")
    }
    return Int(wanted == 0 ? defaultPageSize : wanted)
  }

  /// Where a page begins: the token is the cursor in decimal; empty = 0; nil = no such token.
  private static func cursor(_ token: UnsafeBufferPointer<UInt8>) -> UInt32? {
    token.isEmpty ? 0 : UInt32(String(decoding: token, as: UTF8.self))
  }
}

extension SequenceFields {
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
  }
}
