import Glibc

/// SplitMix64 (Steele, Lea and Flood 2014) and the draws made from it.
///
/// One stream for one purpose: a scenario draws each session from a stream of its own, so that the
/// same seed gives the same operations however many connections carry them.
package struct RandomStream {
  private var state: UInt64

  /// Streams of the same seed with different numbers are independent of each other.
  package init(seed: UInt64, stream: UInt64 = 0) {
    state = seed ^ Self.mix(stream &* 0x9E37_79B9_7F4A_7C15)
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Self.mix(state)
  }

  /// SplitMix64's finaliser: a bijection that scatters neighbouring values. `mix(0) == 0`.
  package static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// Uniform in 0 ..< 1, a multiple of 2^-53.
  package mutating func uniform() -> Double {
    Double(next() >> 11) * 0x1p-53
  }

  /// Exponential with the given mean, at least 0.
  package mutating func exponential(mean: Double) -> Double {
    -log(1 - uniform()) * mean
  }

  /// Normal with mean 0 and deviation 1 (Box and Muller; two uniforms a draw, always).
  package mutating func normal() -> Double {
    let radius = sqrt(-2 * log(1 - uniform()))
    return radius * cos(2 * .pi * uniform())
  }

  /// `exp(mu + sigma * normal)`: its median is `exp(mu)`.
  package mutating func lognormal(mu: Double, sigma: Double) -> Double {
    exp(mu + sigma * normal())
  }

  /// Gamma with mean `shape * scale` (Marsaglia and Tsang 2000). Shape 1 is exponential.
  package mutating func gamma(shape: Double, scale: Double) -> Double {
    precondition(shape > 0 && scale > 0, "a gamma needs a positive shape and scale")
    if shape < 1 {
      // Their section 6: a draw of shape + 1, brought down by a uniform's root.
      let boost = pow(1 - uniform(), 1 / shape)
      return gamma(shape: shape + 1, scale: scale) * boost
    }
    let d = shape - 1.0 / 3
    let c = 1 / sqrt(9 * d)
    while true {
      let x = normal()
      let cubeRoot = 1 + c * x
      guard cubeRoot > 0 else { continue }
      let v = cubeRoot * cubeRoot * cubeRoot
      if log(1 - uniform()) < 0.5 * x * x + d - d * v + d * log(v) { return d * v * scale }
    }
  }
}

/// Arrivals of a Poisson process: gaps are exponential and independent.
package struct PoissonArrivals {
  private var random: RandomStream
  private let meanGapSeconds: Double
  private var seconds: Double = 0

  package init(ratePerSecond: Double, random: RandomStream) {
    precondition(ratePerSecond > 0, "an arrival process needs a positive rate")
    self.random = random
    self.meanGapSeconds = 1 / ratePerSecond
  }

  /// Seconds from the start, never less than the one before.
  package mutating func next() -> Double {
    seconds += random.exponential(mean: meanGapSeconds)
    return seconds
  }
}
