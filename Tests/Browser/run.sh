#!/usr/bin/env bash
# The dashboard of the built server in a real browser: Debian's Chromium without a screen, driven by
# Selenium. Arguments go to pytest; QUIRED names the server. SCREENSHOTS names a folder for pictures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

export QUIRED=${QUIRED:-$(swift build --show-bin-path)/quired}
for program in "$QUIRED" /usr/bin/chromium /usr/bin/chromedriver; do
  if [ ! -x "$program" ]; then
    echo "$program is not there: see 'make browser'" >&2
    exit 1
  fi
done

venv=.build/browser-venv
if ! cat Tests/EndToEnd/requirements.txt "$here/requirements.txt" | cmp -s - "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement Tests/EndToEnd/requirements.txt --requirement "$here/requirements.txt"
  cat Tests/EndToEnd/requirements.txt "$here/requirements.txt" >"$venv/requirements.txt"
fi

export STUBS=$PWD/.build/browser-stubs
rm -rf "$STUBS"
mkdir -p "$STUBS"
"$venv/bin/python" -m grpc_tools.protoc -I Protos --python_out="$STUBS" --grpc_python_out="$STUBS" \
  Protos/quire/v1/*.proto

export PYTHONPATH=$STUBS:$PWD/Tests/EndToEnd SE_AVOID_STATS=true
exec "$venv/bin/python" -B -m pytest -q --tb=short -p no:cacheprovider --rootdir "$here" -c /dev/null \
  "$here" "$@"
