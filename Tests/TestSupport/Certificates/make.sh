#!/usr/bin/env bash
# Makes the certificates of the Swift tests, valid from 2020 to 2120, so that no test depends on the
# day it runs. Their keys protect nothing: they are public. Every run makes every file anew.
set -euo pipefail
cd "$(dirname "$0")"
rm -f ./*.pem ./*.key
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

sign() { # NAME SUBJECT EXTENSIONS END [OPTIONS]: signed by ca.pem, or by itself
  local name=$1 subject=$2 extensions=$3 end=$4
  shift 4
  : >"$scratch/index"
  cat >"$scratch/ca.conf" <<CONF
[ca]
default_ca = it
[it]
database = $scratch/index
new_certs_dir = $scratch
rand_serial = yes
default_md = sha256
unique_subject = no
policy = any
x509_extensions = extensions
[any]
organizationName = optional
commonName = supplied
[extensions]
$extensions
CONF
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key" 2>/dev/null
  openssl req -new -key "$name.key" -subj "$subject" -out "$scratch/request"
  openssl ca -batch -notext -config "$scratch/ca.conf" -in "$scratch/request" -out "$name.pem" \
    -startdate 20200101000000Z -enddate "$end" "$@" 2>/dev/null
}

authority() { # NAME
  sign "$1" "/CN=$1" $'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign' \
    21200101000000Z -selfsign -keyfile "$1.key"
}

leaf() { # NAME SUBJECT ALTERNATIVE-NAMES [END]
  sign "$1" "$2" "subjectAltName=$3" "${4:-21200101000000Z}" -cert ca.pem -keyfile ca.key
}

names=DNS:localhost,DNS:quire.test,IP:127.0.0.1,IP:::1
authority ca
authority other-ca
leaf server /CN=server "$names"
leaf renewed /CN=renewed "$names"
leaf expired /CN=expired "$names" 20200102000000Z
leaf client "/O=Quire tests/CN=scheduler" \
  URI:spiffe://quire.test/scheduler,DNS:scheduler.quire.test
openssl pkcs8 -topk8 -in server.key -v2 aes-256-cbc -passout pass:secret -out locked.key
rm ca.key other-ca.key
