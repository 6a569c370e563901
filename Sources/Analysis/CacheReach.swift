internal import KVBlocks

/// Which cached content a lookup can still reach. A lookup goes from the first block of a prefix to the
/// first hole: what lies behind an evicted ancestor takes memory and cannot be hit, until the hole is
/// filled.
struct CacheReach {
  /// Blocks that are cached (nobody holds them) and have an ancestor that no block has.
  private(set) var orphanedBlocks: UInt32 = 0

  /// Contents are told apart by the first 64 bits of their hashes. What was stored before anybody
  /// followed the pool counts as the beginning of its prefix, and so does what was cached without a
  /// parent. O(blocks with content), 40 bytes of memory for each.
  init(_ pool: KVPool, _ mirror: BlockMirror) {
    guard let parents = pool.parents else { return }
    for part in mirror.shapes {
      var nodes = Nodes()
      for id in part.start + 1...part.start + part.blocks where mirror.mark(id).hasContent {
        guard let hash = pool.content(BlockID(id)) else { continue }
        nodes.insert(hash.words.0, parent: parents[id])
      }
      for id in part.start + 1...part.start + part.blocks {
        let mark = mirror.mark(id)
        guard mark.state == .cached, let hash = pool.content(BlockID(id)) else { continue }
        if !nodes.isReachable(hash.words.0) { orphanedBlocks += 1 }
      }
    }
  }

  private struct Nodes {
    private enum Reach: UInt8 { case unknown, underWay, reachable, orphaned }
    private struct Node {
      var parent: UInt64
      var reach: Reach
    }

    private var nodes: [UInt64: Node] = [:]
    private var path: [UInt64] = []

    /// Of blocks with the same content one that begins a prefix decides.
    mutating func insert(_ content: UInt64, parent: UInt64) {
      if parent != 0 && nodes[content]?.reach == .reachable { return }
      nodes[content] = Node(parent: parent, reach: parent == 0 ? .reachable : .unknown)
    }

    /// Each content is looked at once, and once more by each of its children.
    mutating func isReachable(_ content: UInt64) -> Bool {
      path.removeAll(keepingCapacity: true)
      var next = content
      var found = false
      while let node = nodes[next] {
        if node.reach == .reachable {
          found = true
          break
        }
        // Underway: hashes that clients made up may go round in a circle, which no prefix begins.
        if node.reach != .unknown { break }
        nodes[next] = Node(parent: node.parent, reach: .underWay)
        path.append(next)
        next = node.parent
      }
      for content in path { nodes[content]?.reach = found ? .reachable : .orphaned }
      return found
    }
  }
}
