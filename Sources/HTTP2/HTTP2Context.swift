internal import CNGHTTP2

/// What the sessions of one thread share: options, callbacks, and the pools of memory, stream slots
/// and event lists. Sessions keep it alive.
package final class HTTP2Context {
  package let options: HTTP2Options
  let callbacks: OpaquePointer
  let nghttp2Options: OpaquePointer
  let expected: ExpectedFields
  private let memory = MemoryPool()
  let streams: UnsafeMutablePointer<StreamPool>
  private var spareEvents: [EventList] = []
  private var constants: [HTTP2FieldList] = []
  /// Where `HTTP2Session.drain` puts what is to be sent; emptied by whoever sent it.
  package let output = HTTP2Output()

  package init(_ options: HTTP2Options = HTTP2Options()) {
    self.options = options
    expected = ExpectedFields(options.expectedFields)
    var callbacks: OpaquePointer?
    var nghttp2Options: OpaquePointer?
    precondition(
      nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&nghttp2Options) == 0,
      "out of memory")
    self.callbacks = callbacks!
    self.nghttp2Options = nghttp2Options!
    streams = .allocate(capacity: 1)
    streams.initialize(to: StreamPool())
    // The receiver decides when bytes are dealt with: see `HTTP2Session.consume`.
    nghttp2_option_set_no_auto_window_update(nghttp2Options, 1)
    nghttp2_option_set_stream_reset_rate_limit(
      nghttp2Options, options.resetBurst, options.resetsPerSecond)
    nghttp2_option_set_max_continuations(nghttp2Options, options.maxContinuations)
    nghttp2_option_set_max_settings(nghttp2Options, options.maxSettingsEntries)
    nghttp2_option_set_max_outbound_ack(nghttp2Options, options.maxQueuedAcks)
    installCallbacks(self.callbacks)
  }

  deinit {
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(nghttp2Options)
    for list in spareEvents { list.free() }
    streams.pointee.drain()
    streams.deallocate()
    memory.free()
    expected.deallocate()
  }

  /// Streams that are open in all sessions.
  package var openStreams: Int { streams.pointee.inUse }

  /// Bytes of memory kept for streams to come. Walks the free slots: for tests.
  package var keptStreamBytes: Int { streams.pointee.keptBytes }

  /// A list that never changes and lives as long as the context: sent without being copied.
  package func constantFields(_ fields: [(name: String, value: String)]) -> HTTP2FieldList {
    let list = HTTP2FieldList(isConstant: true)
    for field in fields { list.append(field.name, field.value) }
    constants.append(list)
    return list
  }

  func takeEvents() -> EventList { spareEvents.popLast() ?? EventList() }
  func giveEvents(_ list: EventList) {
    var list = list
    list.removeAll()
    spareEvents.append(list)
  }

  var memoryFunctions: nghttp2_mem { memory.functions }
}

/// Bytes ready for the socket, frames of one or more `drain` calls.
package final class HTTP2Output {
  var buffer = RawBuffer()
  /// Memory kept between batches.
  private static let keptBytes = 1 << 20

  package init() {}
  deinit { buffer.free() }
  package var bytes: UnsafeRawBufferPointer { buffer.bytes }
  package var count: Int { buffer.count }
  package func removeAll() { buffer.removeAll(keeping: HTTP2Output.keptBytes) }
}
