#!/usr/bin/env bash
# Replays real traces at 60 times their speed into a pool that holds them and into one that does not.
# QUIRE_TRACES names the folder that holds azure2023_conv.csv and mooncake_conversation_trace.jsonl;
# without it there is nothing to do. About five minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=${QUIRE_BIN:-.build/release}
if [ -z "${QUIRE_TRACES:-}" ]; then
  echo "traces: skipped, QUIRE_TRACES names no folder"
  exit 0
fi

work=$(mktemp -d)
mkfifo "$work/ready"
"$bin/quired" --listen "unix:$work/quire.sock" --log-level warning \
  --pool azure-roomy:blocks=65536,block-size=16 --pool azure-tight:blocks=2048,block-size=16 \
  --pool mooncake-roomy:blocks=65536,block-size=16 --pool mooncake-tight:blocks=12288,block-size=16 \
  >"$work/ready" &
server=$!
trap 'kill "$server" 2>/dev/null && wait "$server" || true; rm -rf "$work"' EXIT
read -r _ <"$work/ready"

# 4: the machine was too busy for exact latencies, which are not what is checked here.
replay() { # pool, file, further arguments
  local pool=$1 file=$2
  shift 2
  echo "=== $file into $pool"
  "$bin/quire-load" replay "$QUIRE_TRACES/$file" --target "unix:$work/quire.sock" --pool "$pool" \
    --speed 60 --json "$work/$pool.json" --quiet "$@" || [ $? -eq 4 ]
}
replay azure-roomy azure2023_conv.csv
replay azure-tight azure2023_conv.csv
replay mooncake-roomy mooncake_conversation_trace.jsonl --dequantise
replay mooncake-tight mooncake_conversation_trace.jsonl --dequantise

python3 - "$work" <<'PYTHON'
import json, sys

failed = False
for pool in ("azure-roomy", "azure-tight", "mooncake-roomy", "mooncake-tight"):
    report = json.load(open(f"{sys.argv[1]}/{pool}.json"))
    wrong = [f"{name} is {report[name]}" for name in ("errors", "leaked_blocks") if report[name] != 0]
    if pool.endswith("tight") and report["preemptions"] == 0:
        wrong.append("a pool too small for the trace never preempted")
    print(f"{pool}: {report['preemptions']} preemptions, {'; '.join(wrong) or 'ok'}")
    failed = failed or bool(wrong)
sys.exit(failed)
PYTHON
