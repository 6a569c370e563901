#!/usr/bin/env bash
# A stranger's proof: stock grpcio, with stubs that stock tools generate from Protos, drives the
# built server. Arguments go to pytest; QUIRED names the server, otherwise it is the last built one.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

export QUIRED=${QUIRED:-$(swift build --show-bin-path)/quired}
if [ ! -x "$QUIRED" ]; then
  echo "$QUIRED is not there: build it with 'swift build --product quired', or set QUIRED" >&2
  exit 1
fi

# The command line lies beside the server.
export QUIRE=${QUIRE:-$(dirname "$QUIRED")/quire}

"$here/environment.sh"
venv=.build/e2e-venv

export STUBS=$PWD/.build/e2e-stubs
rm -rf "$STUBS"
mkdir -p "$STUBS"
"$venv/bin/python" -m grpc_tools.protoc -I Protos --python_out="$STUBS" --grpc_python_out="$STUBS" \
  Protos/quire/v1/*.proto

exec "$venv/bin/python" -B -m pytest -p no:cacheprovider "$here" "$@"
