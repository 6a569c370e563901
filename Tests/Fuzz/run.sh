#!/usr/bin/env bash
# Fuzzes: run.sh [--merge] [--seeds] [TARGET...]; without a name, all targets one after the other.
#
# FUZZ_SECONDS   how long each target runs (default 30)
# --merge        adds what found new coverage to Corpus, and minimises it
# --seeds        begins with the inputs that seeds.py writes, too
#
# Fails on a finding and says where the input that shows it lies. To run that again:
#     QUIRE_FUZZ_TARGET=TARGET .build/fuzz/release/quire-fuzz FILE
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

merge= seeds= targets=()
for argument in "$@"; do
  case "$argument" in
    --merge) merge=yes ;;
    --seeds) seeds=yes ;;
    *) targets+=("$argument") ;;
  esac
done

# A build of its own: coverage counters and the address sanitizer in all of it. gold, the usual linker,
# fails on libFuzzer.
build=.build/fuzz
QUIRE_FUZZ=1 swift build -c release --scratch-path $build --product quire-fuzz --sanitize=address \
  -Xswiftc -sanitize=fuzzer,address -Xswiftc -use-ld=lld \
  -Xcc -fsanitize=fuzzer-no-link,address 2>&1 | tail -n 1
fuzzer=$build/release/quire-fuzz
# Swift's own crash handler and the address sanitizer's report each other.
export SWIFT_BACKTRACE=enable=no
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(QUIRE_FUZZ_TARGET= $fuzzer)

work=$build/work
mkdir -p $work
[ -z "$seeds" ] || python3 "$here/seeds.py" $work
failed=0
for target in "${targets[@]}"; do
  corpus=$here/Corpus/$target
  found=$work/$target
  findings=$build/findings/$target
  mkdir -p "$corpus" "$found" "$findings"
  export QUIRE_FUZZ_TARGET=$target
  log=$work/$target.log
  seconds=${FUZZ_SECONDS:-30}
  # Into a file: a pipe that is read slowly has been seen to hang the run.
  if timeout -k 10 $((seconds + 120)) $fuzzer -max_total_time="$seconds" -max_len=1200 -timeout=20 \
    -rss_limit_mb=2048 -artifact_prefix="$findings/" "$found" "$corpus" >"$log" 2>&1; then
    printf '%-10s %s\n' "$target" "$(grep -E '^Done' "$log")"
  else
    failed=1
    printf '%-10s FAILED, see %s; the input lies in %s\n' "$target" "$log" "$findings"
    grep -E 'Fatal error|SUMMARY' "$log" || tail -n 5 "$log"
  fi
  if [ -n "$merge" ]; then
    fresh=$work/$target.merged
    rm -rf "$fresh" && mkdir "$fresh"
    $fuzzer -merge=1 -use_counters=0 -max_len=1200 "$fresh" "$corpus" "$found" >"$log.merge" 2>&1
    # Named files are somebody's; the fuzzer's own bear their hash.
    find "$corpus" -type f -regextype egrep -regex '.*/[0-9a-f]{40}' -delete
    for file in "$fresh"/*; do
      [ -e "$corpus/$(basename "$file")" ] || mv "$file" "$corpus/$(sha1sum "$file" | cut -c1-40)"
    done
    printf '%-10s %s files, %s bytes\n' "$target" "$(ls "$corpus" | wc -l)" \
      "$(cat "$corpus"/* | wc -c)"
  fi
done
exit $failed
