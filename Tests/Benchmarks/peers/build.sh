#!/usr/bin/env bash
# Builds the servers that unary calls are compared with into .build/bench-peers, from Quire's protos.
# What is newer than its sources is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../../..
out=$root/.build/bench-peers
mkdir -p "$out/cpp"

protos=$root/Sources/CQuireProtos
flags=(-O2 -Wall -Wextra)
if [ "$here/minimal_server.c" -nt "$out/minimal_server" ]; then
  cc "${flags[@]}" -I "$protos/include" -o "$out/minimal_server" "$here/minimal_server.c" \
    "$protos"/quire/v1/{block_pool,types}.pb-c.c \
    $(pkg-config --cflags --libs libuv libnghttp2 libprotobuf-c)
fi

if [ "$here/grpc_cpp_server.cc" -nt "$out/grpc_cpp_server" ]; then
  protoc -I "$root/Protos" --cpp_out="$out/cpp" --grpc_out="$out/cpp" \
    --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" \
    "$root"/Protos/quire/v1/{block_pool,types}.proto
  c++ -std=c++17 "${flags[@]}" -Wno-unused-parameter -I "$out/cpp" -o "$out/grpc_cpp_server" \
    "$here/grpc_cpp_server.cc" "$out"/cpp/quire/v1/*.cc $(pkg-config --cflags --libs grpc++ protobuf)
fi

# A Python of the benchmark's own.
venv=$out/venv
if ! cmp -s "$here/requirements.txt" "$venv/requirements.txt"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements.txt"
  cp "$here/requirements.txt" "$venv/requirements.txt"
fi
mkdir -p "$out/stubs"
"$venv/bin/python" -m grpc_tools.protoc -I "$root/Protos" --python_out="$out/stubs" \
  --grpc_python_out="$out/stubs" "$root"/Protos/quire/v1/{block_pool,types}.proto
