// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for every Swift target: Swift 6 strict mode, warnings are errors.
let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
  // Exclusivity is checked in debug builds and tests; release pays nothing for it.
  .unsafeFlags(
    ["-enforce-exclusivity=unchecked", "-cross-module-optimization"],
    .when(configuration: .release)),
]

func module(
  _ name: String, _ dependencies: [Target.Dependency] = [], path: String? = nil,
  exclude: [String] = []
) -> Target {
  .target(
    name: name, dependencies: dependencies, path: path, exclude: exclude, swiftSettings: settings)
}

func program(
  _ name: String, _ dependencies: [Target.Dependency], path: String? = nil
) -> Target {
  .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(
  _ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []
) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: settings)
}

// Dependencies point one way only; each C module is visible to exactly one Swift module.
let package = Package(
  name: "quire",
  targets: [
    // C libraries.
    .systemLibrary(name: "CUV", pkgConfig: "libuv", providers: [.apt(["libuv1-dev"])]),
    .systemLibrary(
      name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
    .systemLibrary(
      name: "CProtobufC", pkgConfig: "libprotobuf-c", providers: [.apt(["libprotobuf-c-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(
      name: "CMicroHTTPD", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    // Headers alone, without a library.
    .systemLibrary(name: "CMemoryHints"),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    // Without pkg-config, which has flags for it that SwiftPM refuses and that nothing here needs.
    .systemLibrary(name: "CZMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "CMsgPack", pkgConfig: "msgpack", providers: [.apt(["libmsgpack-dev"])]),
    // Generated protobuf-c code and the descriptor set, checked in (`make generate`).
    .target(name: "CQuireProtos", dependencies: ["CProtobufC"]),

    // Texts that others chose, made harmless.
    module("ForeignText"),

    // The domain: deterministic, imports nothing.
    module("KVBlocks"),
    // What the domain's state means: samples, measures, reports.
    module("Analysis", ["ForeignText", "KVBlocks"]),
    // How measurements are kept and written for Prometheus.
    module("Metrics"),
    // Tokens to the hashes by which the domain knows content.
    module("BlockHashing", ["CCrypto", "CXXHash"]),

    // Transport.
    module("UVLoop", ["CUV"]),
    module("HTTP2", ["CNGHTTP2"]),
    module("TLSEngine", ["COpenSSL"]),
    module("GRPCWire"),
    module("MessageCompression", ["CZlib", "GRPCWire"]),
    module(
      "GRPCServer",
      ["UVLoop", "HTTP2", "TLSEngine", "GRPCWire", "MessageCompression", "Metrics"]),
    // HTTP/1.1 for browsers and Prometheus.
    module("AdminHTTP", ["CMicroHTTPD", "UVLoop"]),
    // The page for browsers, kept in the program.
    .target(
      name: "Dashboard",
      resources: [
        .embedInCode("Page/dashboard.html"), .embedInCode("Page/dashboard.css"),
        .embedInCode("Page/dashboard.js"), .embedInCode("Page/charts.js"),
        .embedInCode("Page/map.js"),
      ], swiftSettings: settings),
    module("GRPCClient", ["UVLoop", "HTTP2", "TLSEngine", "GRPCWire", "MessageCompression"]),

    // Service: messages to commands, outcomes to messages.
    module("BlockMessages", ["CQuireProtos"]),
    module(
      "BlockService",
      [
        "CMemoryHints", "Analysis", "KVBlocks", "BlockHashing", "BlockMessages", "GRPCWire",
        "Metrics",
      ]),
    // What becomes of content, in vLLM's words on ZeroMQ.
    module("VLLMEvents", ["CZMQ", "CMsgPack", "KVBlocks", "BlockService", "UVLoop"]),
    program(
      "quired",
      [
        "Analysis", "ForeignText", "UVLoop", "TLSEngine", "GRPCServer", "GRPCWire", "BlockService",
        "VLLMEvents",
        "AdminHTTP", "Dashboard", "Metrics",
      ]),

    // Clients.
    module("ToolSupport", ["TLSEngine"], path: "clients/shared/ToolSupport"),
    module("Workloads", ["ForeignText", "ToolSupport"], path: "clients/load/Workloads"),
    program(
      "quire-load",
      [
        "Workloads", "ToolSupport", "ForeignText", "GRPCClient", "GRPCWire", "BlockMessages",
        "TLSEngine", "UVLoop",
      ],
      path: "clients/load/quire-load"),

    module(
      "QuireCLI",
      [
        "Analysis", "BlockMessages", "ForeignText", "GRPCClient", "GRPCWire", "TLSEngine",
        "ToolSupport", "UVLoop", "Workloads",
      ],
      path: "clients/cli/QuireCLI"),
    program("quire", ["QuireCLI"], path: "clients/cli/quire"),

    // gRPC's interoperability tests on our stack, both sides: for tests only.
    module("GRPCTestingMessages", ["GRPCWire"], path: "Tests/Interop/Messages"),
    program(
      "InteropServer",
      ["GRPCServer", "GRPCTestingMessages", "GRPCWire", "TLSEngine", "UVLoop"],
      path: "Tests/Interop/Server"),
    program(
      "InteropClient",
      ["GRPCClient", "GRPCTestingMessages", "GRPCWire", "TLSEngine", "UVLoop"],
      path: "Tests/Interop/Client"),
    tests(
      "InteropTests",
      ["InteropServer", "InteropClient", "GRPCClient", "GRPCServer", "GRPCWire", "UVLoop"]),

    // Tests and benchmarks.
    .target(
      name: "TestSupport", path: "Tests/TestSupport", exclude: ["Certificates"],
      swiftSettings: settings),
    tests(
      "KVBlocksTests", ["Analysis", "KVBlocks", "TestSupport"],
      exclude: ["Vectors", "RULES.md"]),
    tests("ForeignTextTests", ["ForeignText"]),
    tests("AnalysisTests", ["Analysis", "KVBlocks", "TestSupport"]),
    tests("MetricsTests", ["Metrics"]),
    tests("AdminHTTPTests", ["AdminHTTP", "UVLoop"]),
    tests("BlockHashingTests", ["BlockHashing"], exclude: ["Vectors"]),
    tests("UVLoopTests", ["UVLoop", "TestSupport"]),
    tests("HTTP2Tests", ["HTTP2", "TestSupport"]),
    tests("TLSEngineTests", ["TLSEngine", "TestSupport"]),
    tests("GRPCWireTests", ["GRPCWire", "TestSupport"]),
    tests("MessageCompressionTests", ["MessageCompression", "GRPCWire", "TestSupport"]),
    tests(
      "GRPCServerTests",
      ["GRPCServer", "GRPCWire", "HTTP2", "MessageCompression", "UVLoop", "TestSupport"]),
    tests(
      "GRPCClientTests",
      [
        "GRPCClient", "GRPCServer", "GRPCWire", "HTTP2", "MessageCompression", "TLSEngine",
        "UVLoop", "TestSupport",
      ]),
    tests("BlockMessagesTests", ["BlockMessages", "TestSupport"]),
    tests(
      "BlockServiceTests",
      [
        "Analysis", "BlockService", "BlockMessages", "GRPCWire", "KVBlocks", "Metrics",
        "TestSupport",
      ]),
    tests("VLLMEventsTests", ["VLLMEvents", "BlockService", "KVBlocks"]),
    tests(
      "QuiredTests",
      ["quired", "AdminHTTP", "TLSEngine", "BlockService", "GRPCServer", "UVLoop"]),
    tests("ToolSupportTests", ["ToolSupport"]),
    tests(
      "QuireCLITests",
      ["QuireCLI", "Analysis", "ToolSupport", "BlockMessages", "GRPCWire", "TestSupport"]),
    tests("WorkloadsTests", ["Workloads", "ToolSupport", "TestSupport"]),
    tests(
      "QuireLoadTests",
      [
        "quire-load", "quired", "Workloads", "ToolSupport", "BlockMessages", "BlockService",
        "GRPCWire",
        "TestSupport",
      ]),
    // Fuzzing: the targets, and the replay of what the fuzzer found. The fuzzer itself is below.
    .target(
      name: "FuzzTargets",
      dependencies: [
        "BlockMessages", "BlockService", "GRPCClient", "GRPCServer", "GRPCWire", "HTTP2",
        "KVBlocks", "MessageCompression", "TLSEngine", "TestSupport", "UVLoop",
      ],
      path: "Tests/Fuzz/FuzzTargets", swiftSettings: settings),
    .testTarget(
      name: "FuzzReplayTests", dependencies: ["FuzzTargets"], path: "Tests/Fuzz/FuzzReplayTests",
      swiftSettings: settings),
    program(
      "BlockPoolBenchmark", ["Analysis", "KVBlocks", "BlockHashing"],
      path: "Tests/Benchmarks/BlockPoolBenchmark"),
    program(
      "BlockHashBenchmark", ["BlockHashing"], path: "Tests/Benchmarks/BlockHashBenchmark"),
    program(
      "StreamBenchmark", ["BlockMessages", "GRPCClient", "GRPCWire", "UVLoop"],
      path: "Tests/Benchmarks/StreamBenchmark"),
    program(
      "SliceBenchmark", ["BlockMessages", "GRPCClient", "GRPCWire", "UVLoop"],
      path: "Tests/Benchmarks/SliceBenchmark"),
    program(
      "SamplingBenchmark", ["Analysis", "KVBlocks"], path: "Tests/Benchmarks/SamplingBenchmark"),
    program("GrowthBenchmark", ["KVBlocks"], path: "Tests/Benchmarks/GrowthBenchmark"),
  ]
)

// libFuzzer needs a build of its own, which `Tests/Fuzz/run.sh` asks for: no other build links it.
if Context.environment["QUIRE_FUZZ"] != nil {
  package.targets.append(
    program("quire-fuzz", ["FuzzTargets"], path: "Tests/Fuzz/QuireFuzz"))
}
