import GRPCTestingMessages
import GRPCWire

// The four cases in which messages are compressed one by one.

func clientCompressedUnary(_ runner: InteropRunner) throws(InteropFailure) {
  var request = InteropRequest()
  request.responseSize = 314_159
  request.payloadSize = 271_828
  request.expectsCompressed = true
  // The probe: a server that does not look at the flag lets this pass.
  try runner.call("UnaryCall", [request.bytes(.simple)]).expect(.invalidArgument)
  let packed = try runner.call("UnaryCall", [request.bytes(.simple)], encoding: .gzip)
  try packed.expect(.ok)
  try requireThat(packed.sizes == [314_159], "the sizes are \(packed.sizes)")
  request.expectsCompressed = false
  let plain = try runner.call("UnaryCall", [request.bytes(.simple)])
  try plain.expect(.ok)
  try requireThat(plain.sizes == [314_159], "the sizes are \(plain.sizes)")
}

func serverCompressedUnary(_ runner: InteropRunner) throws(InteropFailure) {
  for isCompressed in [true, false] {
    var request = InteropRequest()
    request.responseSize = 314_159
    request.payloadSize = 271_828
    request.responseIsCompressed = isCompressed
    let call = try runner.call("UnaryCall", [request.bytes(.simple)])
    try call.expect(.ok)
    try requireThat(call.sizes == [314_159], "the sizes are \(call.sizes)")
    try requireThat(
      call.wasCompressed == [isCompressed], "wanted compressed = \(isCompressed), got otherwise")
  }
}

func clientCompressedStreaming(_ runner: InteropRunner) throws(InteropFailure) {
  func request(_ size: Int, isCompressed: Bool) -> [UInt8] {
    var request = InteropRequest()
    request.payloadSize = size
    request.expectsCompressed = isCompressed
    return request.bytes(.streamingInput)
  }
  let first = request(27_182, isCompressed: true)
  let probe = try runner.call(
    "StreamingInputCall", [first], encoding: .gzip, isCompressed: [false])
  try probe.expect(.invalidArgument)
  let call = try runner.call(
    "StreamingInputCall", [first, request(45_904, isCompressed: false)], encoding: .gzip,
    isCompressed: [true, false])
  try call.expect(.ok)
  let total = call.messages.first?.withUnsafeBytes { InteropResponse.total(in: $0) }
  try requireThat(total == 73_086, "the total is not 73086")
}

func serverCompressedStreaming(_ runner: InteropRunner) throws(InteropFailure) {
  var request = InteropRequest()
  request.responses = [
    ResponseParameters(size: 31_415, isCompressed: true),
    ResponseParameters(size: 92_653, isCompressed: false),
  ]
  let call = try runner.call("StreamingOutputCall", [request.bytes(.streamingOutput)])
  try call.expect(.ok)
  try requireThat(call.sizes == [31_415, 92_653], "the sizes are \(call.sizes)")
  try requireThat(call.wasCompressed == [true, false], "compressed: \(call.wasCompressed)")
}
