import Testing
import Workloads

@Test("the generator is SplitMix64: its published first numbers")
func splitMix64() {
  var random = RandomStream(seed: 1_234_567)
  let numbers = (0..<5).map { _ in random.next() }
  #expect(
    numbers == [
      6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
      4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
    ])
}

@Test("streams of one seed differ, and each repeats itself")
func streams() {
  var first = RandomStream(seed: 42, stream: 1)
  var second = RandomStream(seed: 42, stream: 2)
  var again = RandomStream(seed: 42, stream: 1)
  let a = (0..<100).map { _ in first.next() }
  let b = (0..<100).map { _ in second.next() }
  #expect(a == (0..<100).map { _ in again.next() })
  #expect(Set(a).isDisjoint(with: b))
}

/// Mean and variance of 100,000 draws.
private func moments(_ draw: (inout RandomStream) -> Double) -> (mean: Double, variance: Double) {
  var random = RandomStream(seed: 7, stream: 3)
  let values = (0..<100_000).map { _ in draw(&random) }
  let mean = values.reduce(0, +) / Double(values.count)
  let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
  return (mean, variance)
}

private func isNear(_ value: Double, _ expected: Double, within share: Double) -> Bool {
  abs(value - expected) <= abs(expected) * share
}

@Test("uniform draws lie in 0 ..< 1 with mean 1/2 and variance 1/12")
func uniform() {
  let (mean, variance) = moments { $0.uniform() }
  #expect(isNear(mean, 0.5, within: 0.01))
  #expect(isNear(variance, 1.0 / 12, within: 0.02))
}

@Test("exponential draws have the mean asked for and its square as variance")
func exponential() {
  let (mean, variance) = moments { $0.exponential(mean: 0.25) }
  #expect(isNear(mean, 0.25, within: 0.02))
  #expect(isNear(variance, 0.0625, within: 0.04))
}

@Test("half of all lognormal draws lie below exp(mu)")
func lognormal() {
  var random = RandomStream(seed: 9)
  // exp(5) = 148.41...
  let below = (0..<100_000).filter { _ in random.lognormal(mu: 5, sigma: 0.8) < 148.4131591 }.count
  #expect(isNear(Double(below), 50_000, within: 0.02))
}

@Test(
  "gamma draws have mean shape x scale and variance shape x scale^2",
  arguments: [0.05, 0.25, 1, 4.5])
func gamma(shape: Double) {
  let (mean, variance) = moments { $0.gamma(shape: shape, scale: 2) }
  #expect(isNear(mean, shape * 2, within: 0.05))
  #expect(isNear(variance, shape * 4, within: 0.1))
}

@Test("Poisson arrivals never go back, and their counts per second vary as much as their mean")
func poisson() {
  var arrivals = PoissonArrivals(ratePerSecond: 5.5, random: RandomStream(seed: 42, stream: 1))
  var counts = Array(repeating: 0.0, count: 4_000)
  var latest = 0.0
  while true {
    let next = arrivals.next()
    #expect(next >= latest)
    latest = next
    guard next < 4_000 else { break }
    counts[Int(next)] += 1
  }
  let mean = counts.reduce(0, +) / 4_000
  let variance = counts.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 4_000
  #expect(isNear(mean, 5.5, within: 0.03))
  #expect(isNear(variance, 5.5, within: 0.08))
}
