#!/usr/bin/env bash
# Puts gRPC's own interoperability programs into a folder: the Python tree with its stubs and a
# virtual environment, the C++ programs built against the packaged library, grpc-go's programs.
# What is there already is not made again. Changes nothing of the system.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1
mkdir -p "$work"
cd "$work"

say() { printf 'conformance: %s\n' "$*"; }

# Where this machine gets its packages from, it gets their sources from too, though its own
# configuration may not say so: a configuration of our own does.
sources() {
  local list=$work/apt/sources.list.d
  [ -d "$list" ] && return
  mkdir -p "$list" apt/lists/partial
  local file
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -f "$file" ] && sed -n 's/^deb /deb-src /p' "$file" >"$list/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -f "$file" ] && sed 's/^Types:.*/Types: deb-src/' "$file" >"$list/$(basename "$file")"
  done
  return 0
}

apt_options() {
  printf '%s\n' -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/apt/sources.list.d" \
    -o "Dir::State::lists=$work/apt/lists" -o APT::Sandbox::User=root -o Acquire::Retries=3
}

# Unpacks the source of package $1 as folder $2.
unpack() {
  [ -d "$2" ] && return
  sources
  local options
  mapfile -t options < <(apt_options)
  if [ ! -f apt/updated ]; then
    apt-get "${options[@]}" -qq update
    touch apt/updated
  fi
  say "source package $1"
  mkdir -p packages
  (cd packages && apt-get "${options[@]}" -qq source --download-only "$1")
  dpkg-source --skip-patches --no-check --extract "packages/$1"_*.dsc "$2.part" >/dev/null
  mv "$2.part" "$2"
}

protos=(empty messages test)

python_tree() {
  # Made again when the requirements have changed.
  cmp -s "$here/requirements.txt" python/made && return
  say "Python: grpcio from PyPI, the interop tree, its stubs"
  rm -rf python
  mkdir -p python/tree
  python3 -m venv python/venv
  python/venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements.txt"
  cp -r grpc/src/python/grpcio_tests/tests grpc/src/python/grpcio_tests/tests_aio python/tree/
  # What these two import is a test runner with needs of its own.
  : >python/tree/tests/__init__.py
  : >python/tree/tests_aio/__init__.py
  mkdir -p python/tree/tests/interop/credentials
  cp grpc/src/core/tsi/test_creds/{ca.pem,server1.key,server1.pem} python/tree/tests/interop/credentials/
  for proto in "${protos[@]}"; do
    python/venv/bin/python -m grpc_tools.protoc -I grpc --python_out=python/tree \
      --grpc_python_out=python/tree "grpc/src/proto/grpc/testing/$proto.proto"
  done
  cp "$here/requirements.txt" python/made
}

cpp_programs() {
  [ -f cpp/made ] && return
  say "C++: interop_client and interop_server, against $(pkg-config --modversion grpc++) as packaged"
  mkdir -p cpp/objects
  for proto in "${protos[@]}"; do
    protoc -I grpc --cpp_out=cpp --grpc_out=cpp \
      --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)" "grpc/src/proto/grpc/testing/$proto.proto"
  done
  local shared=(
    cpp/src/proto/grpc/testing/{empty,messages,test}{,.grpc}.pb.cc
    grpc/test/core/end2end/data/{client_certs,server1_cert,server1_key,test_root_cert}.cc
    grpc/test/core/event_engine/test_init.cc
    grpc/test/core/util/{build,histogram,stack_tracer,test_config}.cc
    grpc/test/cpp/util/{create_test_channel,test_config_cc,test_credentials_provider}.cc
  )
  local client=(grpc/test/cpp/interop/{client,client_helper,interop_client}.cc grpc/test/core/security/oauth2_utils.cc)
  local server=(grpc/test/cpp/interop/{interop_server,interop_server_bootstrap,server_helper}.cc)
  object() { printf 'cpp/objects/%s.o' "$(printf '%s' "${1%.cc}" | tr / _)"; }
  export -f object
  # The headers of the core are in the source package only.
  printf '%s\n' "${shared[@]}" "${client[@]}" "${server[@]}" | xargs -P "$(nproc)" -I{} bash -c \
    'g++ -std=c++17 -O0 -w -Icpp -Igrpc -Igrpc/include -Igrpc/third_party/upb -Igrpc/src/core/ext/upb-generated \
       -c {} -o "$(object {})"'
  local libraries
  read -ra libraries < <(pkg-config --libs grpc++ protobuf absl_flags_parse absl_flags \
    absl_failure_signal_handler absl_symbolize absl_examine_stack absl_str_format)
  objects() { for source in "$@"; do object "$source"; echo; done; }
  # shellcheck disable=SC2046
  g++ -o cpp/interop_client $(objects "${client[@]}" "${shared[@]}") "${libraries[@]}"
  # shellcheck disable=SC2046
  g++ -o cpp/interop_server $(objects "${server[@]}" "${shared[@]}") "${libraries[@]}"
  touch cpp/made
}

go_programs() {
  [ -f go/made ] && return
  say "Go: client and server of grpc-go $(dpkg-query -W -f='${Version}' golang-google-grpc-dev)"
  # The packaged library with the folders that the package leaves out; their messages are generated
  # with the packaged generator, as the library's own were.
  local tree=go/path/src/google.golang.org/grpc
  rm -rf go
  mkdir -p "$(dirname "$tree")"
  cp -rL /usr/share/gocode/src/google.golang.org/grpc "$tree"
  cp -r grpc-go/interop grpc-go/testdata "$tree/"
  rm "$tree/interop/grpc_testing/test.pb.go"
  (cd "$tree" && protoc --go_out=paths=source_relative:. interop/grpc_testing/test.proto)
  local program
  for program in client server; do
    GO111MODULE=off GOPATH=$work/go/path:/usr/share/gocode GOCACHE=$work/go/cache \
      go build -o "go/interop_$program" "google.golang.org/grpc/interop/$program"
  done
  touch go/made
}

unpack grpc grpc
unpack golang-google-grpc grpc-go
python_tree
cpp_programs
go_programs
