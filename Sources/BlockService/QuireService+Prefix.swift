internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Sequences: the prefix cache of sequences.
extension QuireService {
  func lookup(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(LookupRequest.self, bytes)
    let hosted = try readPool(request.call)
    outcome.reset()
    let found = try look(request, in: hosted) { (subject) throws(Refusal) in
      try hosted.pool.look(subject, into: &outcome.cached)
    }
    packer.reset()
    packer.lookupReply(
      revision: hosted.pool.revision, cachedTokens: found.cachedTokens,
      blockIDs: outcome.cached.elements, evictableBlocks: found.evictableBlocks,
      blocksNeeded: found.blocksNeeded, nullPrefixBlocks: found.nullBlocks)
    send(reply)
  }

  /// What a lookup is about: a sequence that there is, or content that is read as that of a sequence to
  /// come, so that the same rules refuse it.
  enum LookupSubject {
    case sequence(SequenceID)
    case content(AddSequence)
  }

  /// `ask` answers for the subject of the request; nil where it finds no such sequence. What it borrows of
  /// the content is there until the next command.
  func look<Answer>(
    _ request: LookupRequest, in hosted: HostedPool,
    _ ask: (LookupSubject) throws(Refusal) -> Answer?
  ) throws(CallFailure) -> Answer {
    guard let lookup = request.lookup, let subject = lookup.subject else {
      throw .missing(request.lookup == nil ? "lookup" : "lookup.subject")
    }
    let asked: LookupSubject
    var problem = Refusal.none
    switch subject {
    case .sequence(let id):
      if lookup.hasOptions {
        throw .invalid("lookup.options", "goes with content: a sequence has options of its own")
      }
      asked = .sequence(id)
      problem = Refusal(.unknownSequence, field: .sequenceID, sequence: id)
    case .content(let content):
      contents.begin()
      let options = lookup.options
      let keys = contents.extraKeys(content, options, 0)
      problem = contents.takeProblem()
      asked = .content(
        AddSequence(
          sequence: 0, tokens: content.tokens, expectedTokens: options.expectedTokens,
          blockHashes: content.blockHashes, tokenIDs: content.tokenIDs, extraKeys: keys,
          skipsPrefixLookup: options.skipsPrefixLookup, sizeClass: options.sizeClass))
    }
    do throws(Refusal) {
      if case .content = asked, problem.reason != .none { throw problem }
      if let answer = try ask(asked) { return answer }
      throw problem
    } catch {
      var operation: Operation?
      if case .content(let new) = asked { operation = Operation(.add(new)) }
      throw CallFailure(
        RefusalStatus.make(error, of: operation, named: "lookup", in: hosted.pool))
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

extension KVPool {
  /// What an admission would hit, its blocks into `list`.
  func look(
    _ subject: QuireService.LookupSubject, into list: inout FlatList<BlockID>
  ) throws(Refusal) -> PrefixLookup? {
    switch subject {
    case .sequence(let id): lookup(session: 0, sequence: id, into: &list)
    case .content(let new): try lookup(new, into: &list)
    }
  }
}
