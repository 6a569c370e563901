/// The pool alone, as a scheduler in this process would use it.
extension BlockPool {
  /// Takes `count` blocks, all or none, held raw by the session in slot 0.
  ///
  /// - Returns: False, and nothing changed, when fewer are available.
  /// - Complexity: O(`count`); no heap allocation once `list` has grown.
  package func allocate(
    _ count: UInt32, generation: UInt32, appendingTo list: inout FlatList<BlockID>
  ) -> Bool {
    guard count <= available else { return false }
    take(count, for: .raw(0), generation: generation, into: list.extend(by: Int(count)))
    return true
  }

  /// Drops one raw reference of the session in slot 0 to each block, all or none.
  ///
  /// - Returns: False, and nothing changed, when it does not hold them all.
  package func free(_ ids: UnsafeBufferPointer<BlockID>) -> Bool {
    guard let first = ids.baseAddress else { return true }
    if freeExclusive(first, ids.count, heldBy: 0) { return true }
    return freeOneByOne(first, ids.count)
  }

  @inline(never)
  private func freeOneByOne(_ first: UnsafePointer<BlockID>, _ count: Int) -> Bool {
    for i in 0..<count {
      guard first[i] >= 1 && first[i] <= capacity && takeRawHold(first[i], from: 0) > 0 else {
        for j in (0..<i).reversed() { returnRawHold(first[j], to: 0) }
        return false
      }
    }
    dropReferences(first, count)
    return true
  }
}
