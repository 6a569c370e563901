#!/usr/bin/env bash
# gRPC's own interoperability programs against our stack, both ways: their clients against our server,
# our client against their servers, in cleartext and over TLS. Prints a line per case and a table;
# exits with 1 when a case fails.
#
#   Tests/Interop/conformance.sh [--work DIR] [--only WORD]
#
# DIR (default: quire-conformance and the user's number, in TMPDIR) keeps what was obtained, which programs
# are run from, and the logs of each run; it must be its user's own. With WORD only the pairs whose name
# contains it are run, e.g. python, TLS, "to quire".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

work=${TMPDIR:-/tmp}/quire-conformance-$(id -u)
only=
while [ $# -gt 0 ]; do
  case $1 in
    --work) work=$2; shift 2 ;;
    --only) only=$2; shift 2 ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
# Where others may write, they could have laid what is run here: it is ours, whoever made it, or refused.
mkdir -p "$(dirname "$work")"
mkdir -m 700 "$work" 2>/dev/null || true
if [ ! -d "$work" ] || [ -L "$work" ] || [ ! -O "$work" ] || [ -n "$(find "$work" -prune -perm /022)" ]; then
  echo "conformance: $work must be a folder of yours that nobody else can write to" >&2
  exit 1
fi
work=$(cd "$work" && pwd)

"$here/obtain.sh" "$work"
cd "$root"
echo "conformance: our programs"
swift build --product InteropServer 2>&1 | tail -n 1
swift build --product InteropClient 2>&1 | tail -n 1
bin=$(swift build --show-bin-path)

creds=$work/grpc/src/core/tsi/test_creds
name=foo.test.google.fr
# Of this run; what other runs said stays.
logs=$(mkdir -p "$work/logs" && mktemp -d "$work/logs/$(date +%Y%m%d-%H%M%S)-XXXX")
echo "conformance: logs in $logs"
results=$logs/results
: >"$results"

standard=(empty_unary large_unary client_streaming server_streaming ping_pong empty_stream
  cancel_after_begin cancel_after_first_response timeout_on_sleeping_server custom_metadata
  status_code_and_message special_status_message unimplemented_method unimplemented_service)
compression=(client_compressed_unary server_compressed_unary client_compressed_streaming
  server_compressed_streaming)

# Started here, ended here, by number.
server=
stop() {
  [ -n "$server" ] || return 0
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}
trap stop EXIT

# A port that nobody listens on, below those the system hands out.
free_port() {
  python3 -c '
import random, socket
while True:
    port = random.randrange(15000, 32000)
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue
    print(port)
    break'
}

# Starts a server ("$@", with PORT for its port) and waits until it accepts; sets `port`.
servers=0
start() {
  servers=$((servers + 1))
  local log=$logs/server-$servers.log
  printf '%s\n' "$*" >"$log"
  port=$(free_port)
  "${@//PORT/$port}" >>"$log" 2>&1 &
  server=$!
  python3 - "$port" "$server" <<'WAIT' || { echo "conformance: the server did not start:"; tail "$log"; exit 1; }
import os, socket, sys, time
end = time.monotonic() + 30
while time.monotonic() < end:
    with socket.socket() as s:
        if s.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 0:
            sys.exit(0)
    os.kill(int(sys.argv[2]), 0)
    time.sleep(0.05)
sys.exit(1)
WAIT
}

wanted() { [[ -z $only || $1 == *"$only"* ]]; }

# Runs one client ("${@:3}", with PORT and CASE) per case of the list named $2, under pair name $1.
run() {
  local pair=$1 case
  local -n cases=$2
  shift 2
  for case in "${cases[@]}"; do
    local words=("${@//PORT/$port}") log
    words=("${words[@]//CASE/$case}")
    log="$logs/${pair// /-}-$case.log"
    local outcome=pass
    timeout 120 "${words[@]}" >"$log" 2>&1 || outcome=FAIL
    printf '%-4s  %-32s  %s\n' "$outcome" "$pair" "$case" | tee -a "$results"
    if [ $outcome = FAIL ]; then tail -n 5 "$log" | sed 's/^/        /'; fi
  done
}

python() { echo env PYTHONPATH="$work/python/tree" "$work/python/venv/bin/python" -m; }
read -ra py < <(python)
host=(--server_host=127.0.0.1 --server_port=PORT --test_case=CASE)
secure=(--use_tls=true --server_host_override="$name")
# Compression is a matter of C++ and of ours; the other programs have no such cases.
cpp_cases=("${standard[@]}" "${compression[@]}" half_duplex)
slow_case=(slow_consumer)  # 40 s of waiting, by its nature
all_cases=("${standard[@]}" "${compression[@]}" half_duplex)
soak_case=(rpc_soak channel_soak)
soak=(--soak_iterations=200 --soak_max_failures=0 --soak_per_iteration_max_acceptable_latency_ms=5000
  --soak_overall_timeout_seconds=100)

for security in cleartext TLS; do
  tls=() tls_server=(--use_tls=false)
  if [ $security = TLS ]; then
    tls=("${secure[@]}")
    tls_server=(--use_tls=true)
  fi
  files=("${tls_server[@]}")
  if [ $security = TLS ]; then
    files+=("--tls_cert_file=$creds/server1.pem" "--tls_key_file=$creds/server1.key")
  fi

  start "$bin/InteropServer" --port=PORT "${files[@]}"
  python_tls=(); if [ $security = TLS ]; then python_tls=("${tls[@]}" --use_test_ca=true); fi
  for kind in "python sync:tests.interop.client" "python aio:tests_aio.interop.client"; do
    pair="${kind%%:*} to quire, $security"
    wanted "$pair" && run "$pair" standard "${py[@]}" "${kind#*:}" "${host[@]}" "${python_tls[@]}"
  done
  pair="C++ to quire, $security"
  if wanted "$pair"; then
    run "$pair" cpp_cases "$work/cpp/interop_client" "${host[@]}" "${python_tls[@]}"
    if [ $security = cleartext ]; then
      run "$pair" slow_case "$work/cpp/interop_client" "${host[@]}"
    fi
    run "$pair" soak_case "$work/cpp/interop_client" "${host[@]}" "${python_tls[@]}" "${soak[@]}"
  fi
  pair="Go to quire, $security"
  go_tls=(); if [ $security = TLS ]; then go_tls=("${tls[@]}" --use_test_ca=true "--ca_file=$creds/ca.pem"); fi
  wanted "$pair" && run "$pair" standard "$work/go/interop_client" "${host[@]}" "${go_tls[@]}"
  stop

  our_tls=(); if [ $security = TLS ]; then our_tls=("${tls[@]}" "--ca_file=$creds/ca.pem"); fi
  us=("$bin/InteropClient" "${host[@]}" "${our_tls[@]}")
  pair="quire to python, $security"
  if wanted "$pair"; then
    start "${py[@]}" tests.interop.server --port=PORT "${tls_server[@]}"
    run "$pair" standard "${us[@]}"
    stop
  fi
  pair="quire to C++, $security"
  if wanted "$pair"; then
    start "$work/cpp/interop_server" --port=PORT "${tls_server[@]}"
    run "$pair" all_cases "${us[@]}"
    stop
  fi
  pair="quire to Go, $security"
  if wanted "$pair"; then
    start "$work/go/interop_server" --port=PORT "${files[@]}"
    run "$pair" standard "${us[@]}"
    stop
  fi
done

echo
awk '
  { pair = $0; sub(/^[A-Za-z]+ +/, "", pair); sub(/  +[a-z_]+$/, "", pair)
    if (!(pair in total)) order[++n] = pair
    total[pair]++; if ($1 == "pass") passed[pair]++; else failed++ }
  END {
    for (i = 1; i <= n; i++) printf "%-32s %2d of %2d\n", order[i], passed[order[i]], total[order[i]]
    if (n == 0) { print "no pair has such a name"; exit 1 }
    exit failed > 0
  }' "$results"
