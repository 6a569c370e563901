/// One session's pin of one prefix.
struct PrefixPin: BitwiseCopyable {
  /// In the order pins are made, from 1; 0 for a place that nobody uses.
  var serial: UInt64 = 0
  /// The content asked for: so many blocks, and the hash of the last.
  var content = BlockHash(0, 0)
  var asked: UInt32 = 0
  var session: UInt32 = 0
  /// The clock at which it ends; 0 = never by itself.
  var expires: UInt64 = 0
  /// Blocks that it holds, and the link of the one furthest in the prefix.
  var blocks: UInt32 = 0
  var lastLink = PrefixPin.none
  var previousInSession = PrefixPin.none
  var nextInSession = PrefixPin.none
  /// The next pin of the session with the same fingerprint; of an unused place, the next unused.
  var nextAlike = PrefixPin.none

  static let none = UInt32.max
}

/// That a pin holds a block.
struct PinLink: BitwiseCopyable {
  /// 0 when the block lost its content and with it the pin.
  var block: BlockID = 0
  var pin = PrefixPin.none
  var nextInPin = PrefixPin.none
  var previousOfBlock = PrefixPin.none
  var nextOfBlock = PrefixPin.none
}
