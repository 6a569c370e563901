internal import Analysis
internal import BlockMessages
internal import GRPCWire
internal import KVBlocks

/// quire.v1.Analyzer.GetReport: a pool as it is and was, in words and pictures.
extension QuireService {
  func getReport(_ bytes: UnsafeRawBufferPointer, _ reply: any ReplyWriter) throws(CallFailure) {
    let request = try decode(GetReportRequest.self, bytes)
    let hosted = try readPool(request.call)
    // Unspecified is text, which is 1 on the wire.
    guard let format = FragmentationReporter.Format(rawValue: UInt8(max(request.format, 1) - 1))
    else { throw .invalid("format", "is \(request.format), which is none of ReportFormat") }
    let analyzer = analyses?.analyzer(of: hosted)
    let report = (analyzer ?? MemoryFragmentationAnalyzer(hosted.pool)).report(
      hosted.pool, named: hosted.name, at: clockNow, since: request.sinceMilliseconds,
      intervalMilliseconds: analyzer == nil ? 0 : analyses?.intervalMilliseconds ?? 0,
      life: hosted.lifetimes.map { .init($0.lifetimes) },
      losses: hosted.history.map { .init($0.evicted) })
    packer.reset()
    packer.report(
      revision: hosted.pool.revision, contentType: format.contentType,
      content: FragmentationReporter(report).written(as: format))
    send(reply)
  }
}
