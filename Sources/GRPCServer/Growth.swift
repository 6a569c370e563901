/// Adds up what a number grows by, and takes no notice of its falls.
///
/// A Unix socket counts what waits in it with the room it takes, so that a few bytes written can lower
/// the number of those delivered; only reading raises it.
struct Growth {
  private(set) var total = 0
  private var last = 0

  mutating func note(_ value: Int) {
    total &+= max(0, value &- last)
    last = value
  }
}
