# `make demo` and `make test` are the two commands that do everything; the rest are their parts.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help deps build test build-tests unit e2e soak conformance monitoring browser fuzz check-all demo bench lint generate clean

help: ## Shows this list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

deps: ## Installs the Debian packages that are missing; checks the Swift toolchain.
	@.ci/deps

build: deps ## Builds the server, the load tool and the command line, optimised, into .build/release.
	swift build -c release --product quired
	swift build -c release --product quire-load
	swift build -c release --product quire

test: deps lint build-tests unit e2e ## Everything a change must pass (under 10 minutes).

lint: ## Format, module boundaries, freshness of the generated code.
	swift format lint --recursive --strict Package.swift Sources clients Tests
	.ci/check-boundaries
	Protos/generate.sh --check

# pip waits for the network while the compiler works. `e2e` asks for the environment again: what went wrong
# here is tried and told there.
build-tests:
	Tests/EndToEnd/environment.sh >/dev/null 2>&1 & \
	failed=0; swift build --build-tests || failed=1; wait; exit $$failed

unit: ## The Swift test suites, in a debug build that checks exclusivity.
	swift build --build-tests
	swift test --skip-build --disable-xctest

e2e: ## Stock grpcio drives the built server.
	swift build --product quired
	swift build --product quire
	Tests/EndToEnd/run.sh

soak: deps ## Ten million random commands, model against implementation, and dumps with changed bytes.
	QUIRE_MODEL_COMMANDS=10000000 swift test -c release --disable-xctest --filter KVBlocksTests

fuzz: deps ## Looks for bytes that break something, FUZZ_SECONDS (30) per target.
	Tests/Fuzz/run.sh

conformance: ## gRPC's own interop clients and servers (Python, C++, Go) against ours, both ways.
	@.ci/deps conformance-packages.txt
	Tests/Interop/conformance.sh

monitoring: deps ## A real Prometheus scrapes a real server: metrics, alert rules, each expression of the dashboard.
	@.ci/deps prometheus-packages.txt
	swift build --product quired
	QUIRE_PROMETHEUS=1 Tests/EndToEnd/run.sh -k 'test_prometheus or test_grafana'

browser: deps ## The dashboard in a real browser without a screen.
	@.ci/deps browser-packages.txt
	swift build --product quired
	Tests/Browser/run.sh

check-all: test soak conformance monitoring browser fuzz build ## All that is too slow for `make test` too: real traces, interop, Prometheus, a browser, fuzzing, ten million commands, a mirror of a million events.
	Tests/EndToEnd/traces.sh
	QUIRE_MIRROR_EVENTS=1000000 QUIRED=.build/release/quired Tests/EndToEnd/run.sh -k 'mirror or mooncake'
	QUIRE_VLLM=1 QUIRED=.build/release/quired Tests/EndToEnd/run.sh -k zmq

demo: build ## Server on loopback, a small trace replayed into it, a report.
	clients/load/demo.sh

bench: build ## Nanoseconds, instructions and requests per second, with their references.
	@.ci/deps bench-packages.txt
	Tests/Benchmarks/run.sh

generate: deps ## Regenerates the protobuf-c code and the descriptor set from Protos.
	Protos/generate.sh

clean: ## Removes everything that was built.
	rm -rf .build
