import KVBlocks

extension Walk {
  /// A class by its number, by a length to come, or by nothing.
  mutating func chooseClass(of new: inout TestOperation.New) {
    if one(in: 2) { new.sizeClass = number() }
    if one(in: 3) { new.expected = UInt32(below(40)) }
  }

  private mutating func number() -> UInt32 {
    one(in: 30) ? UInt32(classes.count + 1) : UInt32(below(classes.count + 1))
  }

  /// Tokens of a block of the class that the sequence will be of.
  func sizeOf(_ new: TestOperation.New) -> UInt32 {
    if classes.isEmpty { return size }
    if new.sizeClass > 0 { return classes[min(Int(new.sizeClass), classes.count) - 1].blockSize }
    let expected = max(new.expected, new.tokens)
    let one = classes.first { $0.maxExpectedTokens == 0 || expected <= $0.maxExpectedTokens }
    return one?.blockSize ?? size
  }

  /// Raw blocks, promises and pins of all classes.
  mutating func chooseClasses(_ command: inout TestCommand, _ model: Model) {
    for i in command.operations.indices {
      switch command.operations[i].kind {
      case .allocate(let count) where one(in: 2):
        command.operations[i].kind = .place(count, sizeClass: number())
      case .place(let count, let isContiguous, let preferred, _):
        command.operations[i].kind = .place(
          count, contiguous: isContiguous, preferred: preferred, sizeClass: number())
      case .acquire(let hashes, let count, _):
        command.operations[i].kind = .acquire(hashes, count, sizeClass: number())
      case .pin(let hashes, let ttl, let unpins, let ids, _):
        command.operations[i].kind = .pin(
          hashes, ttl: ttl, unpins: unpins, ids: ids, sizeClass: number())
      case .recover(let count, let rungs, let keep, let isContiguous, let most, _):
        command.operations[i].kind = .recover(
          count, rungs: rungs, keep: keep, contiguous: isContiguous, maxMoves: most,
          sizeClass: number())
      case .reserve(var request):
        if one(in: 2) { request.sizeClass = number() }
        command.operations[i].kind = .reserve(request)
      default: break
      }
    }
  }
}
