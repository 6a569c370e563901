#!/usr/bin/env bash
# The Python environment of the end-to-end tests, in .build: made once, and again when the requirements
# have changed. One at a time; whoever comes second waits and finds it made.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

venv=.build/e2e-venv
mkdir -p .build
exec 9>.build/e2e-venv.lock
flock 9
cmp -s "$here/requirements.txt" "$venv/requirements.txt" && exit
rm -rf "$venv"
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  --requirement "$here/requirements.txt"
cp "$here/requirements.txt" "$venv/requirements.txt"
