import Analysis
import Testing

@Suite("rank correlation")
struct RankCorrelationTests {
  private func correlation(
    _ x: [Double], _ y: [Double], isOverTime: Bool = false
  ) -> RankCorrelation {
    RankCorrelation(Array(zip(x, y)).map { (x: $0, y: $1) }, isOverTime: isOverTime)
  }

  @Test("equal values share the mean of their ranks")
  func ranks() {
    #expect(RankCorrelation.ranks([30, 10, 20]) == [3, 1, 2])
    #expect(RankCorrelation.ranks([1, 2, 2, 3]) == [1, 2.5, 2.5, 4])
    #expect(RankCorrelation.ranks([7, 7, 7]) == [2, 2, 2])
    #expect(RankCorrelation.ranks([]) == [])
  }

  @Test("without ties: intelligence and hours of television, rho = -29/165")
  func textbook() throws {
    let rho = try #require(
      correlation(
        [106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]
      ).rho)
    #expect(abs(rho + 29.0 / 165) < 1e-12)
  }

  @Test("with ties: ranks 1 2.5 2.5 4 and 1 3 2 4, rho = 4.5 / sqrt(4.5 x 5)")
  func ties() throws {
    let rho = try #require(correlation([1, 2, 2, 3], [10, 30, 20, 40]).rho)
    #expect(abs(rho - 0.948_683_298_050_513_8) < 1e-12)
  }

  @Test("fewer than twenty pairs say nothing, however well they agree")
  func short() {
    let numbers = (0..<19).map(Double.init)
    #expect(correlation(numbers, numbers).rho == 1)
    #expect(correlation(numbers, numbers).verdict == .tooShort)
    #expect(correlation([], []).verdict == .tooShort)
    #expect(correlation([], []).rho == nil)
  }

  @Test("what always rises or falls with the time does so: a trend is not held against itself")
  func trend() {
    let numbers = (0..<20).map(Double.init)
    #expect(correlation(numbers, numbers.map { $0 * $0 }, isOverTime: true).verdict == .rises)
    #expect(correlation(numbers, numbers.map { -$0 }, isOverTime: true).verdict == .falls)
    #expect(correlation(numbers, numbers, isOverTime: true).effectivePairs == 20)
  }

  @Test(
    "two that both only rise are one pair, not thirty: nothing says that one goes with the other")
  func trends() {
    let found = correlation((0..<30).map(Double.init), (0..<30).map { Double($0 * $0) })
    #expect(found.rho == 1)
    // a = b = 1, cut at 0.999: 30 x 0.001 / 1.999.
    #expect(abs(found.effectivePairs - 0.015_007_503_751_875_9) < 1e-12)
    #expect(found.verdict == .unclear)
  }

  @Test("ups and downs that go together do so")
  func together() {
    // 7 is prime to 29, so neighbours are 7 or 22 apart.
    let numbers = (0..<29).map { Double($0 * 7 % 29) }
    #expect(correlation(numbers, numbers.map { -$0 }).verdict == .falls)
    #expect(correlation(numbers, numbers.map { $0 * $0 }).verdict == .rises)
  }

  @Test("what never changes goes with nothing")
  func constant() {
    let same = [Double](repeating: 3, count: 30)
    #expect(correlation((0..<30).map(Double.init), same).verdict == .constant)
    #expect(correlation(same, same).rho == nil)
  }

  @Test("four plateaus are not forty samples")
  func neighbours() throws {
    // rho 0.387 of forty independent pairs would be clear: it takes 0.31. Here a = 1 and
    // b = 0.8352198262935714, so n is 40 x (1 - b) / (1 + b).
    let plateaus = [0, 3, 1, 2].flatMap { [Double](repeating: $0, count: 10) }
    let found = correlation((0..<40).map(Double.init), plateaus, isOverTime: true)
    #expect(abs(try #require(found.rho) - 0.387_419_422_113_029_8) < 1e-12)
    #expect(abs(found.effectivePairs - 3.591_508_141_871_382) < 1e-9)
    #expect(found.verdict == .unclear)
  }
}
