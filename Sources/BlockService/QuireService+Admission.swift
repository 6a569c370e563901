internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: promises, and who would have to go.
extension QuireService {
  func reserve(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ReserveRequest.self, bytes)
    guard let reserve = request.reserve else { throw .missing("reserve") }
    let result = try apply(OperationReader.reserve(reserve), request.call)
    packer.reset()
    packer.reserveReply(
      revision: outcome.revision, reservedBlocks: result.affected,
      availableBlocks: result.availableBlocks)
    send(reply)
  }

  func adviseVictims(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(AdviseVictimsRequest.self, bytes)
    let pool = try readPool(request.call).pool
    let order = VictimOrder(rawValue: UInt8(truncatingIfNeeded: request.order)) ?? .cost
    var victims = FlatList<Victim>()
    let advice: VictimAdvice
    do throws(Refusal) {
      advice = try pool.adviseVictims(
        session: 0, needed: request.blocksNeeded, order: order, keep: request.keepSequenceIDs,
        limit: request.maxVictims, sizeClass: request.sizeClass, into: &victims)
    } catch {
      throw CallFailure(RefusalStatus.make(error, of: nil, in: pool))
    }
    packer.reset()
    packer.adviseVictimsReplyAfterVictims(
      availableBlocks: advice.availableBlocks, isSufficient: advice.isSufficient)
    for victim in victims.elements.reversed() {
      packer.advisedVictim(VictimFields(victim, order))
    }
    packer.adviseVictimsReplyBeforeVictims(revision: pool.revision)
    send(reply)
  }
}

extension VictimFields {
  init(_ victim: Victim, _ order: VictimOrder) {
    let reason =
      switch order {
      case .cost: "few tokens to compute again for each block of its own"
      case .latest: "among the latest admitted"
      case .priority: "priority \(victim.priority), the highest values go first"
      }
    self.init(
      sequenceID: victim.sequence, freedBlocks: victim.freedBlocks,
      recomputeTokens: victim.recomputeTokens, priority: victim.priority,
      why: "frees \(victim.freedBlocks) blocks for \(victim.recomputeTokens) tokens to compute "
        + "again: \(reason)")
  }
}

extension OperationReader {
  static func reserve(_ m: ReserveMessage) -> Operation.Kind {
    .reserve(
      Reserve(
        sequence: m.sequenceID, blocks: m.blocks, releases: m.releases, sizeClass: m.sizeClass))
  }
}
