#!/usr/bin/env bash
# Every benchmark of the project. Prints, asserts nothing: machines differ. Compare ratios and
# instruction counts, not single times.
# `growth.py` beside this takes some minutes more and is run by itself, as are the tables of Costs.md.
# So are `abuse.py` (what attackers cost a well-behaved client: 21 attacks, 5 rounds of 3 measurements of
# 2 s, a quarter of an hour) and `idle_connections.py` (memory of 10,000 quiet connections and fairness between 1,000 busy
# ones: two million calls from a client in Python, some minutes).
set -euo pipefail
cd "$(dirname "$0")/../.."
swift build -c release --product BlockPoolBenchmark 2>&1 | tail -n 1
.build/release/BlockPoolBenchmark
swift build -c release --product BlockHashBenchmark 2>&1 | tail -n 1
.build/release/BlockHashBenchmark
python3 Tests/Benchmarks/peers/vllm_block_manager.py
python3 Tests/Benchmarks/unary_allocate.py
python3 Tests/Benchmarks/unary_peers.py
UNPINNED=1 python3 Tests/Benchmarks/unary_peers.py 5 2
python3 Tests/Benchmarks/step_decode.py
swift build -c release --product StreamBenchmark 2>&1 | tail -n 1
python3 Tests/Benchmarks/run_stream.py
swift build -c release --product SliceBenchmark 2>&1 | tail -n 1
python3 Tests/Benchmarks/run_events.py
python3 Tests/Benchmarks/run_events.py --count
swift build -c release --product SamplingBenchmark 2>&1 | tail -n 1
.build/release/SamplingBenchmark
python3 Tests/Benchmarks/sampling.py
python3 Tests/Benchmarks/sampling.py --count
python3 Tests/Benchmarks/tls.py
