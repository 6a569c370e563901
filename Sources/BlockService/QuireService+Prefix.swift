internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: the prefix cache of sequences.
extension QuireService {
  func lookup(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(LookupRequest.self, bytes)
    guard let lookup = request.lookup, let subject = lookup.subject else {
      throw .missing(request.lookup == nil ? "lookup" : "lookup.subject")
    }
    let hosted = try readPool(request.call)
    outcome.reset()
    let found: PrefixLookup
    switch subject {
    case .sequence(let id):
      if lookup.hasOptions {
        throw .invalid("lookup.options", "goes with content: a sequence has options of its own")
      }
      guard let known = hosted.pool.lookup(session: 0, sequence: id, into: &outcome.cached) else {
        let refusal = Refusal(.unknownSequence, field: .sequenceID, sequence: id)
        throw CallFailure(
          RefusalStatus.make(refusal, of: nil, named: "lookup", in: hosted.pool))
      }
      found = known
    case .content(let content):
      found = try self.lookup(content, lookup.options, in: hosted)
    }
    packer.reset()
    packer.lookupReply(
      revision: hosted.pool.revision, cachedTokens: found.cachedTokens,
      blockIDs: outcome.cached.elements, evictableBlocks: found.evictableBlocks,
      blocksNeeded: found.blocksNeeded, nullPrefixBlocks: found.nullBlocks)
    send(reply)
  }

  /// What an admission of this content would hit. It is read as the content of a sequence to come, so
  /// that the same rules refuse it.
  private func lookup(
    _ content: ContentMessage, _ options: OptionsMessage, in hosted: HostedPool
  ) throws(CallFailure) -> PrefixLookup {
    contents.begin()
    let keys = contents.extraKeys(content, options, 0)
    let problem = contents.takeProblem()
    let new = AddSequence(
      sequence: 0, tokens: content.tokens, expectedTokens: options.expectedTokens,
      blockHashes: content.blockHashes, tokenIDs: content.tokenIDs, extraKeys: keys,
      skipsPrefixLookup: options.skipsPrefixLookup, sizeClass: options.sizeClass)
    do throws(Refusal) {
      if problem.reason != .none { throw problem }
      return try hosted.pool.lookup(new, into: &outcome.cached)
    } catch {
      throw CallFailure(
        RefusalStatus.make(error, of: Operation(.add(new)), named: "lookup", in: hosted.pool))
    }
  }

  func commit(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(CommitRequest.self, bytes)
    guard let commit = request.commit else { throw .missing("commit") }
    let result = try apply(OperationReader.commit(commit), request.call)
    packer.reset()
    packCommitReply(result)
    send(reply)
  }

  func packCommitReply(_ result: OperationResult) {
    packer.commitReply(
      revision: outcome.revision, committedTokens: result.tokens, cachedBlocks: result.affected)
  }
}
