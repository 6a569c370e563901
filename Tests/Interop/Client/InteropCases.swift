import GRPCClient
import GRPCTestingMessages
import GRPCWire

/// gRPC's interoperability cases by their names, as `doc/interop-test-descriptions.md` has them.
package enum InteropCase: String, CaseIterable, Sendable {
  case empty_unary, large_unary, client_streaming, server_streaming, ping_pong, empty_stream
  case cancel_after_begin, cancel_after_first_response, timeout_on_sleeping_server
  case custom_metadata, status_code_and_message, special_status_message
  case unimplemented_method, unimplemented_service
  case client_compressed_unary, server_compressed_unary
  case client_compressed_streaming, server_compressed_streaming
  case half_duplex

  /// The fourteen that every implementation is expected to pass.
  package static let standard = Array(allCases.prefix(14))
  package static let compression = Array(allCases[14..<18])

  package func run(_ runner: InteropRunner) throws(InteropFailure) {
    switch self {
    case .empty_unary: try emptyUnary(runner)
    case .large_unary: try largeUnary(runner)
    case .client_streaming: try clientStreaming(runner)
    case .server_streaming: try serverStreaming(runner)
    case .ping_pong: try pingPong(runner)
    case .empty_stream: try emptyStream(runner)
    case .cancel_after_begin: try cancelAfterBegin(runner)
    case .cancel_after_first_response: try cancelAfterFirstResponse(runner)
    case .timeout_on_sleeping_server: try timeoutOnSleepingServer(runner)
    case .custom_metadata: try customMetadata(runner)
    case .status_code_and_message:
      try status(runner, .unknown, "test status message")
    case .special_status_message:
      try specialStatus(runner)
    case .unimplemented_method: try unimplemented(runner, "UnimplementedCall")
    case .unimplemented_service:
      try unimplemented(runner, "/grpc.testing.UnimplementedService/UnimplementedCall")
    case .client_compressed_unary: try clientCompressedUnary(runner)
    case .server_compressed_unary: try serverCompressedUnary(runner)
    case .client_compressed_streaming: try clientCompressedStreaming(runner)
    case .server_compressed_streaming: try serverCompressedStreaming(runner)
    case .half_duplex: try halfDuplex(runner)
    }
  }
}

private let requestSizes = [27_182, 8, 1_828, 45_904]
private let responseSizes = [31_415, 9, 2_653, 58_979]

private func largeRequest() -> InteropRequest {
  var request = InteropRequest()
  request.responseSize = 314_159
  request.payloadSize = 271_828
  return request
}

private func duplexRequest(_ index: Int) -> [UInt8] {
  var request = InteropRequest()
  request.responses = [ResponseParameters(size: responseSizes[index])]
  request.payloadSize = requestSizes[index]
  return request.bytes(.streamingOutput)
}

private func emptyUnary(_ runner: InteropRunner) throws(InteropFailure) {
  let (status, message) = try runner.unary("EmptyCall", [])
  try requireThat(status.code == .ok && message.isEmpty, "\(status)")
}

private func largeUnary(_ runner: InteropRunner) throws(InteropFailure) {
  let (status, message) = try runner.unary("UnaryCall", largeRequest().bytes(.simple))
  try requireThat(status.code == .ok, "\(status)")
  let size = message.withUnsafeBytes { InteropResponse.payloadSize($0) }
  try requireThat(size == 314_159, "the payload is not 314159 zeros")
}

private func clientStreaming(_ runner: InteropRunner) throws(InteropFailure) {
  let requests = requestSizes.map { size in
    var request = InteropRequest()
    request.payloadSize = size
    return request.bytes(.streamingInput)
  }
  let call = try runner.call("StreamingInputCall", requests)
  try call.expect(.ok)
  let total = call.messages.first?.withUnsafeBytes { InteropResponse.total(in: $0) }
  try requireThat(call.messages.count == 1 && total == 74_922, "the total is not 74922")
}

private func serverStreaming(_ runner: InteropRunner) throws(InteropFailure) {
  var request = InteropRequest()
  request.responses = responseSizes.map { ResponseParameters(size: $0) }
  let call = try runner.call("StreamingOutputCall", [request.bytes(.streamingOutput)])
  try call.expect(.ok)
  try requireThat(call.sizes == responseSizes, "the sizes are \(call.sizes)")
}

private func pingPong(_ runner: InteropRunner) throws(InteropFailure) {
  let call = runner.start("FullDuplexCall")
  for index in requestSizes.indices {
    call.send(duplexRequest(index))
    try runner.run("pong \(index)") { call.messages.count > index || call.status != nil }
  }
  call.stream?.halfClose()
  try runner.run("the end") { call.status != nil }
  try call.expect(.ok)
  try requireThat(call.sizes == responseSizes, "the sizes are \(call.sizes)")
}

private func emptyStream(_ runner: InteropRunner) throws(InteropFailure) {
  let call = try runner.call("FullDuplexCall", [])
  try call.expect(.ok)
  try requireThat(call.messages.isEmpty, "a response to nothing")
}

private func cancelAfterBegin(_ runner: InteropRunner) throws(InteropFailure) {
  let call = runner.start("StreamingInputCall")
  call.stream?.cancel()
  try runner.run("the end") { call.status != nil }
  try call.expect(.cancelled)
}

private func cancelAfterFirstResponse(_ runner: InteropRunner) throws(InteropFailure) {
  let call = runner.start("FullDuplexCall")
  call.send(duplexRequest(0))
  try runner.run("a response") { !call.messages.isEmpty || call.status != nil }
  try requireThat(call.sizes == [responseSizes[0]], "the sizes are \(call.sizes)")
  call.stream?.cancel()
  try runner.run("the end") { call.status != nil }
  try call.expect(.cancelled)
}

private func timeoutOnSleepingServer(_ runner: InteropRunner) throws(InteropFailure) {
  let call = runner.start("FullDuplexCall", timeoutNanoseconds: 1_000_000)
  var request = InteropRequest()
  request.payloadSize = 27_182
  call.send(request.bytes(.streamingOutput))
  try runner.run("the end") { call.status != nil }
  try call.expect(.deadlineExceeded)
}

private func customMetadata(_ runner: InteropRunner) throws(InteropFailure) {
  let text = "test_initial_metadata_value"
  var metadata = CallMetadata()
  do throws(CallMetadataError) {
    try metadata.add(InteropMetadata.initial, text)
    try metadata.add(InteropMetadata.trailing, bytes: [0xAB, 0xAB, 0xAB])
  } catch {
    throw InteropFailure("\(error)")
  }
  for (method, request) in [
    ("UnaryCall", largeRequest().bytes(.simple)), ("FullDuplexCall", duplexRequest(0)),
  ] {
    let call = try runner.call(method, [request], metadata: metadata)
    try call.expect(.ok)
    try requireThat(call.initialEcho == [Array(text.utf8)], "\(method): no initial echo")
    let trailing = call.status?.trailers(InteropMetadata.trailing)
    try requireThat(trailing == [[0xAB, 0xAB, 0xAB]], "\(method): no trailing echo")
  }
}

private func specialStatus(_ runner: InteropRunner) throws(InteropFailure) {
  let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
  var request = InteropRequest()
  request.status = EchoStatus(code: 2, message: message)
  try runner.call("UnaryCall", [request.bytes(.simple)]).expect(.unknown, message)
}

private func status(
  _ runner: InteropRunner, _ code: StatusCode, _ message: String
) throws(InteropFailure) {
  var request = InteropRequest()
  request.status = EchoStatus(code: UInt64(code.rawValue), message: message)
  try runner.call("UnaryCall", [request.bytes(.simple)]).expect(code, message)
  try runner.call("FullDuplexCall", [request.bytes(.streamingOutput)]).expect(code, message)
}

private func unimplemented(_ runner: InteropRunner, _ method: String) throws(InteropFailure) {
  let (status, _) = try runner.unary(method, [])
  try requireThat(status.code == .unimplemented, "\(status)")
}

private func halfDuplex(_ runner: InteropRunner) throws(InteropFailure) {
  let call = try runner.call("HalfDuplexCall", requestSizes.indices.map(duplexRequest))
  try call.expect(.ok)
  try requireThat(call.sizes == responseSizes, "the sizes are \(call.sizes)")
}
