import Analysis
import KVBlocks
import Testing

@Suite("where the blocks of a table lie")
struct TableStretchesTests {
  private func stretches(_ blocks: [BlockID]) -> [UInt32] {
    TableStretches.of(blocks).flatMap { [$0.first, $0.count] }
  }

  @Test(
    "stretches are in order, whatever the order of the table, and a place without a block is none")
  func order() {
    #expect(stretches([9, 8, 0, 130, 7, 200, 131, 3, 0]) == [3, 1, 7, 3, 130, 2, 200, 1])
    #expect(stretches([]) == [] && stretches([0]) == [] && stretches([4]) == [4, 1])
    #expect(stretches((64..<400).reversed()) == [64, 336])
    // Few, far apart.
    #expect(stretches([1 << 24, 2, 1, 1 << 23]) == [1, 2, 1 << 23, 1, 1 << 24, 1])
  }
}
