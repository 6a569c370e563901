/// How a map of blocks goes over the wire: as it is, or by stretches of equal bytes where that is shorter.
enum MapCode {
  /// See `DashboardData.map`. O(bytes).
  static func shortest(_ bytes: [UInt8]) -> [UInt8] {
    var coded: [UInt8] = [1]
    coded.reserveCapacity(bytes.count / 4)
    let fits = bytes.withUnsafeBufferPointer { bytes in
      var begin = 0
      while begin < bytes.count {
        let byte = bytes[begin]
        var end = begin + 1
        while end < bytes.count && bytes[end] == byte { end += 1 }
        coded.append(byte)
        var count = end - begin
        while count >= 128 {
          coded.append(UInt8(count & 127) | 128)
          count >>= 7
        }
        coded.append(UInt8(count))
        // Half as long or it is not worth the reader's while.
        if coded.count > bytes.count / 2 + 64 { return false }
        begin = end
      }
      return true
    }
    return fits ? coded : [0] + bytes
  }
}
