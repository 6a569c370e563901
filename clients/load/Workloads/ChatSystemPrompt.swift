import Glibc

/// `chat-system-prompt`: people talk to one assistant, and every prompt begins with the same 512-token
/// system prompt.
///
/// Arrivals are Poisson. Lengths are lognormal fits to Azure's conversations of 2023 (19,366 requests),
/// clipped at the fit's 99.9th percentile.
package struct ChatSystemPrompt {
  package static let name = "chat-system-prompt"
  /// Exactly one id.
  package static let systemPromptTokens = RequestPlan.idTokens
  package static let arrivalsPerSecond = 5.5
  /// Made at most by a command line, because a plan is held in memory: about three weeks of them.
  package static let maximumRequests = 10_000_000
  package static let input = LognormalTokens(mu: 6.633, sigma: 0.985)
  package static let output = LognormalTokens(mu: 5.019, sigma: 0.859)

  /// Requests until `limit` of them are made or one would arrive after `durationSeconds`.
  package static func plan(
    seed: UInt64, limit: Int = .max, durationSeconds: Double = .infinity
  ) -> RequestPlan {
    precondition(limit < .max || durationSeconds < .infinity, "a plan without end")
    var arrivals = PoissonArrivals(
      ratePerSecond: arrivalsPerSecond,
      random: RandomStream(seed: seed, stream: RandomStream.arrivalStream))
    var plan = RequestPlan()
    var nextHash: UInt64 = 1
    while plan.requests.count < limit {
      let seconds = arrivals.next()
      if seconds > durationSeconds { break }
      let session = UInt64(plan.requests.count)
      var random = RandomStream(seed: seed, stream: RandomStream.firstSessionStream + session)
      let own = input.draw(&random)
      let prompt = systemPromptTokens + own
      // Id 0 is the system prompt; the rest of each prompt is nobody else's.
      let ownBlocks = UInt64((own + RequestPlan.idTokens - 1) / RequestPlan.idTokens)
      plan.append(
        arrivalNanoseconds: UInt64(seconds * 1e9), inputTokens: prompt,
        outputTokens: output.draw(&random), hashIDs: [0] + (nextHash..<nextHash + ownBlocks))
      nextHash += ownBlocks
    }
    return plan
  }
}

/// A number of tokens whose logarithm is normal, rounded, at least 1 and at most its own 99.9th
/// percentile.
package struct LognormalTokens: Sendable {
  package let mu: Double
  package let sigma: Double

  package func draw(_ random: inout RandomStream) -> UInt32 {
    // 3.0902 deviations above the mean lies one normal draw in a thousand.
    let limit = exp(mu + 3.0902 * sigma)
    return UInt32(max(1, min(limit, random.lognormal(mu: mu, sigma: sigma)).rounded()))
  }
}

extension RandomStream {
  // Which stream of a seed is for what. Sessions come last: there is no end of them.
  static let arrivalStream: UInt64 = 1
  static let dequantiseStream: UInt64 = 2
  static let firstSessionStream: UInt64 = 1 << 16
}
