internal import KVBlocks

/// The words of refusals about what sequences hold.
extension RefusalText {
  /// nil where the refusal is about something else.
  static func contentRule(
    _ refusal: Refusal, _ operation: Operation?, _ pool: KVPool
  ) -> String? {
    let limit = refusal.limit
    let given = content(of: operation)
    switch refusal.field {
    case .tokenIDs where limit == 0 && isPin(operation): return "must fill one block at least"
    case .tokenIDs where limit == UInt64(KVPool.largestTokenID):
      return "must be at most \(limit) each, and the one at index \(refusal.subject) is more"
    case .tokenIDs: return "must be none or \(limit), one for each token that is appended"
    case .tokenCount where given.ids > 0 && given.ids != Int(given.tokens):
      return "must be 0 or \(given.ids), as many as token_ids has"
    case .tokenCount where isCommit(operation):
      return "must be at most \(limit), the tokens that were scheduled"
    case .blockHashes where given.ids > 0:
      return "is not for content with token_ids, whose hashes the server makes"
    case .blockHashes where limit == 0 && pool.configuration.cachesPrefixes:
      return "must be empty: no block becomes full"
    case .keptTokens:
      // With tokens behind a block in its hash, no end of a block does without the ids before.
      let blocks = pool.configuration.hashLookaheadTokens == 0 ? ", or end where a block does" : ""
      return
        "must be at most \(limit)\(blocks): the token ids before are not kept (keep_tokens keeps all)"
    case .parentHash: return "must be empty or have \(limit) bytes"
    case .multimodal, .promptEmbedsDigest, .loraPath: return extraKeysRule(refusal)
    default: return nil
    }
  }

  private static func extraKeysRule(_ refusal: Refusal) -> String {
    if refusal.limit == .max {
      return "must be empty: extra keys are given when the sequence is added"
    }
    switch (refusal.field, refusal.limit) {
    case (.loraPath, _): return "must be empty where there is no lora_name"
    case (.promptEmbedsDigest, _):
      return "must be 32 bytes for each block, and has \(refusal.subject)"
    case (_, 0): return "must be named: item \(refusal.subject) has no identifier"
    case (_, 1): return "must have tokens: item \(refusal.subject) has none"
    default: return "must not overlap: item \(refusal.subject) begins before the last one ends"
    }
  }

  /// Token ids of the operation, and how many tokens it says it has.
  private static func content(of operation: Operation?) -> (ids: Int, tokens: UInt32) {
    switch operation?.kind {
    case .add(let new): (new.tokenIDs.count, new.tokens)
    case .admit(let request): (request.add?.tokenIDs.count ?? 0, request.add?.tokens ?? 0)
    case .extend(let request): (request.tokenIDs.count, request.appendTokens)
    case .append(_, let tokens, _, let ids): (ids.count, tokens)
    case .pin(let request): (request.tokenIDs.count, request.tokens)
    case .decode(let columns): (columns.tokenIDs.count, UInt32(clamping: columns.tokenIDs.count))
    default: (0, 0)
    }
  }

  private static func isCommit(_ operation: Operation?) -> Bool {
    if case .commit = operation?.kind { return true }
    return false
  }
}
