internal import CNGHTTP2

/// Header fields to be sent, in order. Names must be lower-case; values hold no CR, LF or NUL.
///
/// Reusable: what is submitted is copied, unless the list came from `HTTP2Context.constantFields`.
public final class HTTP2FieldList {
  private var bytes = RawBuffer()
  private var entries: [Entry] = []
  private var vectors: UnsafeMutablePointer<nghttp2_nv>?
  private var vectorCapacity = 0
  private var isPrepared = false
  /// Lives as long as the context: nghttp2 may refer to it.
  let isConstant: Bool

  private struct Entry {
    var name: Int
    var value: Int
    var isIndexed: Bool
  }

  public convenience init() { self.init(isConstant: false) }

  init(isConstant: Bool) { self.isConstant = isConstant }

  deinit {
    bytes.free()
    vectors?.deallocate()
  }

  public var count: Int { entries.count }
  /// The header list's size by RFC 9113's count: name + value + 32 per field.
  public var headerListBytes: Int { bytes.count + 32 * entries.count }

  public func removeAll() {
    precondition(!isConstant || entries.isEmpty, "a constant field list cannot change")
    bytes.removeAll(keeping: 4_096)
    entries.removeAll(keepingCapacity: true)
    isPrepared = false
  }

  /// - Parameter isIndexed: Whether the peer should remember the field. False for values that will
  ///   not come again: they would push useful ones out of the table.
  public func append(
    _ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, isIndexed: Bool = true
  ) {
    bytes.append(name)
    bytes.append(value)
    entries.append(Entry(name: name.count, value: value.count, isIndexed: isIndexed))
    isPrepared = false
  }

  public func append(_ name: String, _ value: String, isIndexed: Bool = true) {
    var name = name
    var value = value
    name.withUTF8 { name in
      value.withUTF8 { value in
        append(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer(value), isIndexed: isIndexed)
      }
    }
  }

  public func append(_ name: String, _ value: [UInt8], isIndexed: Bool = true) {
    var name = name
    name.withUTF8 { name in
      value.withUnsafeBytes { append(UnsafeRawBufferPointer(name), $0, isIndexed: isIndexed) }
    }
  }

  /// nghttp2's form of the list, valid until the list changes.
  var prepared: (UnsafeMutablePointer<nghttp2_nv>?, Int) {
    if !isPrepared { prepare() }
    return (vectors, entries.count)
  }

  private func prepare() {
    if vectorCapacity < entries.count {
      vectors?.deallocate()
      vectorCapacity = max(8, entries.count)
      vectors = .allocate(capacity: vectorCapacity)
    }
    var place = UnsafeMutableRawPointer(mutating: bytes.bytes.baseAddress)?
      .assumingMemoryBound(to: UInt8.self)
    let constant =
      isConstant
      ? UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue) : 0
    for (index, entry) in entries.enumerated() {
      let value = place.map { $0 + entry.name }
      let flags = constant | (entry.isIndexed ? 0 : UInt8(NGHTTP2_NV_FLAG_NO_INDEX.rawValue))
      vectors![index] = nghttp2_nv(
        name: place, value: value, namelen: entry.name, valuelen: entry.value, flags: flags)
      place = value.map { $0 + entry.value }
    }
    isPrepared = true
  }
}
