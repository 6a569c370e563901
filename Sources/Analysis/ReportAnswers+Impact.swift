internal import KVBlocks

/// What the pattern costs: requests turned away, work done again, slots that nobody uses.
extension ReportAnswers {
  func refusals() -> String {
    var text = "Refused \(span): "
    if counts.refused == 0 {
      text += "nothing."
    } else {
      text +=
        "\(Words.grouped(counts.refusedLater)) for want of blocks (each attempt counts), "
        + "\(Words.grouped(counts.refusedRun)) for want of a run though there were blocks enough, "
        + "\(Words.grouped(counts.refusedNever)) that can never fit."
      if counts.refusedQuota > 0 {
        text += " \(Words.grouped(counts.refusedQuota)) were over a quota."
      }
    }
    return text + " Refusals caused by fragmentation: \(Words.grouped(counts.refusedRun))."
  }

  func preemptions() -> String {
    var text =
      "Preempted \(span): \(Words.count(counts.preemptions, "sequence")), against "
      + "\(Words.count(counts.admitted, "admission"))."
    if report.tally.preemptedTokens > 0 {
      text +=
        " Since the pool was made that threw away "
        + "\(Words.count(report.tally.preemptedTokens, "computed token"))."
    }
    return text
  }

  func lost() -> String {
    let lost = look.unusedSlots
    if look.heldSlots.held == 0 { return "Lost slots: none." }
    var text = "Lost slots: \(Words.grouped(lost)) are held and hold nothing"
    if report.configuration.bytesPerBlock > 0 && report.configuration.sizeClasses.isEmpty {
      text += ", \(Words.bytes(Double(lost) * report.bytesPerSlot))"
    }
    let used = look.heldSlots.used
    if used > 0 && look.stats.runningSequences > 0 {
      let mean = Double(used) / Double(look.stats.runningSequences)
      text +=
        Double(lost) < mean
        ? ": less than the \(Words.fixed(mean, 1)) slots that a sequence uses on average"
        : ": room for \(Words.fixed(Double(lost) / mean, 1)) more sequences, at "
          + "\(Words.fixed(mean, 1)) slots that one uses on average, if none of it were lost"
    }
    text += "."
    if look.reserveMaxSlots > look.heldSlots.held && look.longestSequence > 0 {
      text +=
        " Reserving \(Words.grouped(look.longestSequence)) tokens for each would hold "
        + "\(Words.grouped(look.reserveMaxSlots)) slots."
    }
    return text
  }
}
