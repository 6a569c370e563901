internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: commands. Quire keeps the tables.
extension QuireService {
  func add(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(AddRequest.self, bytes)
    guard let add = request.add else { throw .missing("add") }
    contents.begin()
    let result = try applyMeasured(OperationReader.add(add, contents), request.call)
    packer.reset()
    packer.addReply(
      revision: outcome.revision, tokens: result.tokens, blocksNeeded: result.blocksNeeded)
    send(reply)
  }

  func admit(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(AdmitRequest.self, bytes)
    guard let admit = request.admit else { throw .missing("admit") }
    contents.begin()
    let result = try applyMeasured(OperationReader.admit(admit, contents), request.call)
    packer.reset()
    packAdmitReply(result)
    send(reply)
  }

  func packAdmitReply(_ result: OperationResult) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.admitReplyAfterCopies(
      availableBlocks: result.availableBlocks, evictedBlocks: result.evictedBlocks,
      nullPrefixBlocks: result.nullBlocks)
    packCopies(MessagePacker.admitCopiesField, result)
    packer.admitReplyBeforeCopies(
      revision: outcome.revision, cachedTokens: result.cachedTokens,
      scheduledTokens: result.scheduledTokens,
      cachedBlockIDs: outcome.cached.elements(result.cachedBlocks),
      newBlockIDs: outcome.blocks.elements(result.newBlocks))
  }

  func extend(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ExtendRequest.self, bytes)
    guard let extend = request.extend else { throw .missing("extend") }
    let result = try apply(OperationReader.extend(extend, contents), request.call)
    packer.reset()
    packExtendReply(result)
    send(reply)
  }

  func packExtendReply(_ result: OperationResult) {
    packer.mustZero(outcome.mustZero.elements(result.mustZero))
    packer.extendReplyAfterCopies(
      availableBlocks: result.availableBlocks, evictedBlocks: result.evictedBlocks,
      nullPrefixBlocks: result.nullBlocks,
      preemptedSequenceIDs: outcome.preempted.elements(result.preempted))
    packCopies(MessagePacker.extendCopiesField, result)
    packer.extendReplyBeforeCopies(
      revision: outcome.revision, scheduledTokens: result.scheduledTokens,
      newBlockIDs: outcome.blocks.elements(result.newBlocks))
  }

  func append(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(AppendRequest.self, bytes)
    guard let append = request.append else { throw .missing("append") }
    let result = try apply(OperationReader.append(append, contents), request.call)
    packer.reset()
    packer.appendReply(revision: outcome.revision, tokens: result.tokens)
    send(reply)
  }

  func fork(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(ForkRequest.self, bytes)
    guard let fork = request.fork else { throw .missing("fork") }
    let result = try applyMeasured(OperationReader.fork(fork), request.call)
    packer.reset()
    packForkReply(result)
    send(reply)
  }

  func packForkReply(_ result: OperationResult) {
    packer.forkReply(
      revision: outcome.revision, children: result.affected, sharedBlocks: result.sharedBlocks,
      availableBlocks: result.availableBlocks)
  }

  func rewind(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(RewindRequest.self, bytes)
    guard let rewind = request.rewind else { throw .missing("rewind") }
    let result = try apply(OperationReader.rewind(rewind), request.call)
    packer.reset()
    packRewindReply(result)
    send(reply)
  }

  func packRewindReply(_ result: OperationResult) {
    packer.rewindReply(
      revision: outcome.revision, freedBlocks: result.freedBlocks,
      availableBlocks: result.availableBlocks, tokens: result.tokens,
      computedTokens: result.computedTokens)
  }

  func preempt(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(PreemptRequest.self, bytes)
    guard let preempt = request.preempt else { throw .missing("preempt") }
    let result = try apply(OperationReader.preempt(preempt), request.call)
    packer.reset()
    packer.preemptReply(
      revision: outcome.revision, freedBlocks: result.freedBlocks,
      availableBlocks: result.availableBlocks, preemptedSequences: result.affected)
    send(reply)
  }

  func freeSequences(
    _ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter
  ) throws(CallFailure) {
    let request = try decode(FreeSequencesRequest.self, bytes)
    guard let free = request.freeSequences else { throw .missing("free_sequences") }
    let result = try applyMeasured(OperationReader.freeSequences(free), request.call)
    packer.reset()
    packer.freeSequencesReply(
      revision: outcome.revision, freedBlocks: result.freedBlocks,
      freedSequences: result.affected, availableBlocks: result.availableBlocks)
    send(reply)
  }
}
