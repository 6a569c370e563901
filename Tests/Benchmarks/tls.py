#!/usr/bin/env python3
"""What TLS costs a unary call: server CPU beside cleartext, and full handshakes.

    Tests/Benchmarks/tls.py

Runs of both kinds alternate, on one machine at one time; medians. The certificate is made here, ECDSA
with P-256, and h2load picks the cipher (TLS 1.3, AES-256-GCM). `idle_connections.py --tls` tells what
an idle connection keeps. QUIRED names the server.
"""
import os
import socket
import ssl
import statistics
import subprocess
import tempfile

from unary import BODY, PATH, QUIRED, Process, check_all_allocated, h2load

RUNS = 5
SHAPES = [(8, 100, 300_000), (8, 10, 200_000), (1, 1, 10_000)]
HANDSHAKES = 500


def serve(calls, *more):
    return Process([
        QUIRED, "--listen", "127.0.0.1:0", "--pool", f"default:blocks={calls},block-size=16", *more])


def one_run(scheme, connections, streams, calls, body_file, more):
    """Server CPU microseconds per call, and requests per second."""
    server = serve(calls, *more)
    before = server.cpu_seconds_exactly()
    rate = h2load(
        [f"-c{connections}", f"-m{streams}", "-d", body_file, "-H", "content-type: application/grpc",
         "-H", "te: trailers", f"{scheme}://{server.address}{PATH}"], calls)
    cpu = (server.cpu_seconds_exactly() - before) / calls * 1e6
    check_all_allocated(server.stop(), calls)
    return cpu, rate


def handshakes(certificate, more):
    """Server CPU milliseconds per connection that is made and closed."""
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2"])
    server = serve(16, *more)
    host, port = server.address.rsplit(":", 1)
    before = server.cpu_seconds_exactly()
    for _ in range(HANDSHAKES):
        with socket.create_connection((host, int(port))) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.recv(9)
    cpu = (server.cpu_seconds_exactly() - before) / HANDSHAKES * 1e3
    server.stop()
    return cpu


def main():
    with tempfile.TemporaryDirectory() as work:
        body_file, certificate, key = (
            os.path.join(work, name) for name in ("body.bin", "cert.pem", "key.pem"))
        with open(body_file, "wb") as file:
            file.write(BODY)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True, capture_output=True)
        files = ["--tls-cert", certificate, "--tls-key", key]
        print(f"\nunary Allocate(1), h2load, cleartext and TLS in turn, medians of {RUNS}")
        print("connections x streams   cleartext us/call   TLS us/call   ratio   req/s: cleartext   TLS")
        for connections, streams, calls in SHAPES:
            plain, secure = [], []
            for _ in range(RUNS):
                plain.append(one_run("http", connections, streams, calls, body_file, []))
                secure.append(one_run("https", connections, streams, calls, body_file, files))
            (a, ra), (b, rb) = (map(statistics.median, zip(*rows)) for rows in (plain, secure))
            shape = f"{connections} x {streams}"
            print(f"{shape:<23}{a:>18.2f}{b:>14.2f}{b / a:>8.2f}{ra:>19,.0f}{rb:>10,.0f}")
        print(f"a full handshake, server CPU: {handshakes(certificate, files):.2f} ms")


if __name__ == "__main__":
    main()
