/// Whether the pins and their links agree.
extension PinTable {
  /// Most pins with one fingerprint.
  var longestChain: Int {
    var longest = 0
    names.forEach { entry in
      var length = 0
      var pin = entry.value &- 1
      while pin != PrefixPin.none {
        length += 1
        pin = pins[Int(pin)].nextAlike
      }
      longest = max(longest, length)
    }
    return longest
  }

  /// What is wrong with the pins; nil when nothing is. O(pins + links).
  func check(_ sessionCount: UInt32) -> String? {
    var met: UInt32 = 0
    var timed: UInt32 = 0
    var linksMet = 0
    for session in 0..<sessionCount {
      var before = PrefixPin.none
      var pin = sessions.slots[Int(session)].firstPin
      var serial: UInt64 = 0
      var links: UInt32 = 0
      while pin != PrefixPin.none {
        let one = pins[Int(pin)]
        if one.session != session || one.previousInSession != before || one.serial <= serial {
          return "the pins of a session are linked wrongly"
        }
        if find(one.content, asked: one.asked, session: session) != pin {
          return "a pin is not found by its name"
        }
        if one.blocks == 0 { return "a pin holds no block" }
        if one.expires != 0 {
          timed += 1
          if !expiring.contains(pin + 1) { return "a pin with a time-to-live never ends" }
        }
        if let wrong = checkLinks(of: pin, &links) { return wrong }
        met += 1
        serial = one.serial
        before = pin
        pin = one.nextInSession
      }
      if sessions.slots[Int(session)].lastPin != before { return "a session lost its last pin" }
      if sessions.slots[Int(session)].pinLinks != links { return "a session's pins hold \(links)" }
      linksMet += Int(links)
    }
    if met != scalars.count || timed != scalars.timed || Int(timed) != expiring.count {
      return "the pins are counted wrongly"
    }
    var held = 0
    holds.forEach { held += Int($0.value) }
    if held != linksMet { return "the holds of the pins are counted wrongly" }
    return expiring.count == 0 ? nil : expiring.check()
  }

  private func checkLinks(of pin: UInt32, _ count: inout UInt32) -> String? {
    var link = pins[Int(pin)].lastLink
    var blocks: UInt32 = 0
    while link != PrefixPin.none {
      let one = links[Int(link)]
      if one.pin != pin { return "a pin has another's block" }
      if one.block != 0 {
        blocks += 1
        let first = firstLink(of: one.block)
        if (one.previousOfBlock == PrefixPin.none) != (first == link) {
          return "the pins of block \(one.block) are linked wrongly"
        }
      }
      link = one.nextInPin
    }
    count += blocks
    return blocks == pins[Int(pin)].blocks ? nil : "a pin counts \(blocks) blocks wrongly"
  }
}
