internal import CQuireProtos

/// A `CellRun`.
package struct CellRunFields: Equatable {
  package var cells: UInt32
  /// Raw value of `BlockState`.
  package var state: UInt32
  package var refCount: UInt32
  package var isPartial: Bool
  package var isHighlighted: Bool
  package var usedPercent: UInt32

  package init(
    cells: UInt32, state: UInt32, refCount: UInt32, isPartial: Bool, isHighlighted: Bool,
    usedPercent: UInt32
  ) {
    self.cells = cells
    self.state = state
    self.refCount = refCount
    self.isPartial = isPartial
    self.isHighlighted = isHighlighted
    self.usedPercent = usedPercent
  }
}

/// The runs, last first, each with `cellRun`; then `blockMapBeforeRuns`.
extension MessagePacker {
  package mutating func cellRun(_ run: CellRunFields) {
    let mark = mark
    uint32(6, run.usedPercent)
    bool(5, run.isHighlighted)
    bool(4, run.isPartial)
    uint32(3, run.refCount)
    uint32(2, run.state)
    uint32(1, run.cells)
    close(5, since: mark)
  }

  package mutating func blockMapBeforeRuns(
    revision: UInt64, firstBlock: UInt32, blocks: UInt32, blocksPerCell: UInt32
  ) {
    uint32(4, blocksPerCell)
    uint32(3, blocks)
    uint32(2, firstBlock)
    uint64(1, revision)
  }
}

package struct BlockMapMessage: WireMessage {
  package static var kind: MessageKind { .blockMap }
  private let m: UnsafePointer<Quire__V1__BlockMap>
  package init(_ message: UnsafeRawPointer) {
    m = message.assumingMemoryBound(to: Quire__V1__BlockMap.self)
  }

  package var revision: UInt64 { m.pointee.revision }
  package var firstBlock: UInt32 { m.pointee.first_block }
  package var blocks: UInt32 { m.pointee.blocks }
  package var blocksPerCell: UInt32 { m.pointee.blocks_per_cell }
  package var runs: [CellRunFields] {
    list(m.pointee.runs, m.pointee.n_runs).compactMap { run in
      run.map {
        CellRunFields(
          cells: $0.pointee.cells, state: UInt32($0.pointee.state.rawValue),
          refCount: $0.pointee.ref_count, isPartial: $0.pointee.partial != 0,
          isHighlighted: $0.pointee.highlighted != 0, usedPercent: $0.pointee.used_percent)
      }
    }
  }
}
