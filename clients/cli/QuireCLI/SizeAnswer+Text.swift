internal import Analysis
internal import ToolSupport

extension SizeAnswer {
  package func text(style: Style = .plain) -> String {
    var lines: [String] = []
    if question.geometry != nil || blocks != nil { lines += memoryLines(style) }
    if asked != nil { lines += (lines.isEmpty ? [] : [""]) + lengthLines(style) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func memoryLines(_ style: Style) -> [String] {
    var lines = [style.paint("Memory", .strong)]
    let size = UInt64(question.blockSize)
    func line(_ name: String, _ value: String, _ meaning: String) {
      let gap = String(repeating: " ", count: max(1, 14 - value.count))
      lines.append("  " + TextTable.padded(name, to: 18) + gap + value + "  " + meaning)
    }
    if let geometry = question.geometry {
      line(
        "a token", ByteText.short(geometry.tokenBytes),
        "2 x \(geometry.layers) layers x \(geometry.kvHeads) KV heads x \(geometry.headSize) x "
          + "\(geometry.dtypeBytes) bytes")
      line("a block", ByteText.short(geometry.tokenBytes * size), "of \(size) tokens")
    }
    if let kvBytes {
      switch question.memory {
      case .card(let card, let weights, let activations):
        line(
          "KV memory", ByteText.short(kvBytes),
          "\(NumberText.trimmed(question.utilization)) of \(ByteText.short(card)), less "
            + "\(ByteText.short(weights)) of weights and \(ByteText.short(activations)) of activations"
        )
      case .kvBytes(let bytes):
        line(
          "KV memory", ByteText.short(kvBytes),
          "\(NumberText.trimmed(question.utilization)) of \(ByteText.short(bytes))")
      default: break
      }
    }
    if let blocks {
      line(
        "blocks", NumberText.grouped(blocks),
        "\(NumberText.grouped(blocks * size)) tokens: --pool NAME:blocks=\(blocks),block-size=\(size)"
      )
      if let longest = question.maxModelTokens {
        let each = BlockArithmetic.blocks(for: longest, blockSize: question.blockSize)
        line(
          "longest sequences", NumberText.grouped(blocks / each),
          "of \(NumberText.grouped(longest)) tokens at once, \(NumberText.grouped(each)) blocks each"
        )
      }
    }
    return lines
  }

  private func lengthLines(_ style: Style) -> [String] {
    guard let asked, let reserved else { return [] }
    let lengths = question.lengths
    let longest = question.maxModelTokens ?? lengths.max()!
    var lines = [
      style.paint("Lengths", .strong) + "  \(NumberText.grouped(UInt64(lengths.count))) sequences, "
        + "\(NumberText.fixed(meanTokens, 1)) tokens on average, "
        + "\(NumberText.grouped(lengths.min()!)) to \(NumberText.grouped(lengths.max()!))"
    ]
    var table = TextTable([
      ("", .left), ("slots held", .right), ("used", .right), ("wasted", .right),
      ("utilisation", .right), ("waste", .right), ("fit at once", .right),
    ])
    func row(_ name: String, _ slots: HeldSlots, _ batch: UInt64?) {
      table.row([
        "  " + name, NumberText.grouped(slots.held), NumberText.grouped(slots.used),
        NumberText.grouped(slots.wasted), NumberText.percent(slots.utilization),
        NumberText.percent(slots.internalFragmentation), batch.map(NumberText.grouped) ?? "-",
      ])
    }
    row("in blocks of \(asked.blockSize)", asked.slots, asked.batch)
    row("\(NumberText.grouped(longest)) reserved for each", reserved, reservedBatch)
    lines += table.lines()
    lines.append(
      "  Blocks save \(NumberText.percent(asked.slots.allocationSaved(beside: reserved))) of what "
        + "reserving holds, and \(NumberText.percent(asked.slots.wasteSaved(beside: reserved))) of "
        + "what it wastes.")
    return lines + [""] + sweepLines(style)
  }

  private func sweepLines(_ style: Style) -> [String] {
    let hasBytes = question.geometry != nil
    var lines = [style.paint("Block sizes", .strong)]
    var columns: [(String, TextTable.Alignment)] = [
      ("  tokens", .right), ("blocks", .right), ("wasted slots", .right), ("waste", .right),
      ("expected", .right), ("metadata", .right),
    ]
    if hasBytes { columns += [("waste in bytes", .right), ("both", .right)] }
    columns.append(("fit at once", .right))
    var table = TextTable(columns)
    for row in rows {
      let expected =
        BlockArithmetic.expectedTailWaste(blockSize: row.blockSize)
        * Double(question.lengths.count)
      var cells = [
        "\(row.blockSize)", NumberText.grouped(row.blocks), NumberText.grouped(row.slots.wasted),
        NumberText.percent(row.slots.internalFragmentation), NumberText.fixed(expected, 0),
        ByteText.short(row.metadataBytes),
      ]
      if let waste = row.wasteBytes, let cost = row.costBytes {
        cells += [ByteText.short(waste), ByteText.short(cost)]
      }
      cells.append(row.batch.map(NumberText.grouped) ?? "-")
      table.row(cells)
    }
    lines += table.lines()
    lines.append(
      "  expected: wasted slots if every fill of the last block were as likely, (B - 1) / 2 each")
    if let best = bestWithoutMetadata {
      lines.append("  best size by waste alone: \(best)")
    }
    if let best = bestWithMetadata, let optimum {
      lines.append(
        "  best size with \(question.metadataBytes) bytes of metadata a block: \(best); by formula "
          + "sqrt(2 L m_meta / m_token) = \(NumberText.fixed(optimum, 2))")
    } else {
      lines.append("  with metadata: needs a geometry, which says what a wasted token costs")
    }
    lines.append(
      "  Neither knows attention kernels, which want 16 or more, nor the work of a table's entries."
    )
    return lines
  }

  // MARK: For programs

  package var json: String {
    var members: [String] = []
    func add(_ name: String, _ value: String?) { members.append("\"\(name)\":\(value ?? "null")") }
    add("token_bytes", question.geometry.map { "\($0.tokenBytes)" })
    add("block_size", "\(question.blockSize)")
    add("block_bytes", question.geometry.map { "\($0.tokenBytes * UInt64(question.blockSize))" })
    add("kv_bytes", kvBytes.map { "\($0)" })
    add("blocks", blocks.map { "\($0)" })
    add("sequences", "\(question.lengths.count)")
    add("mean_tokens", "\(meanTokens)")
    add("reserved_slots", reserved.map { "\($0.held)" })
    add("reserved_utilization", reserved.map { "\($0.utilization)" })
    add("reserved_batch", reservedBatch.map { "\($0)" })
    if let asked, let reserved {
      add("allocation_saved", "\(asked.slots.allocationSaved(beside: reserved))")
      add("waste_saved", "\(asked.slots.wasteSaved(beside: reserved))")
    }
    add("best_block_size_by_waste", bestWithoutMetadata.map { "\($0)" })
    add("best_block_size_with_metadata", bestWithMetadata.map { "\($0)" })
    add("optimal_block_size", optimum.map { "\($0)" })
    let rows = rows.map { row in
      "{"
        + zip(Self.columns, cells(of: row)).map { "\"\($0)\":\($1.isEmpty ? "null" : $1)" }
        .joined(separator: ",") + "}"
    }
    add("block_sizes", "[" + rows.joined(separator: ",") + "]")
    return "{" + members.joined(separator: ",") + "}\n"
  }

  /// A row for each block size; without lengths one row: what fits.
  package var csv: String {
    if rows.isEmpty {
      return CSVText.row(["block_size", "blocks", "kv_bytes"])
        + CSVText.row([
          "\(question.blockSize)", blocks.map { "\($0)" } ?? "", kvBytes.map { "\($0)" } ?? "",
        ])
    }
    return CSVText.row(Self.columns) + rows.map { CSVText.row(cells(of: $0)) }.joined()
  }

  private static let columns = [
    "block_size", "blocks", "slots_held", "slots_used", "wasted_slots", "waste", "utilization",
    "metadata_bytes", "waste_bytes", "cost_bytes", "effective_batch",
  ]

  private func cells(of row: Row) -> [String] {
    [
      "\(row.blockSize)", "\(row.blocks)", "\(row.slots.held)", "\(row.slots.used)",
      "\(row.slots.wasted)", "\(row.slots.internalFragmentation)", "\(row.slots.utilization)",
      "\(row.metadataBytes)", row.wasteBytes.map { "\($0)" } ?? "",
      row.costBytes.map { "\($0)" } ?? "", row.batch.map { "\($0)" } ?? "",
    ]
  }
}
