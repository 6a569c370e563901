#!/usr/bin/env python3
"""The first replies of a server to the benchmark's request, as stock grpcio receives them, in
hexadecimal: `first_replies.py ADDRESS COUNT REQUEST-IN-HEXADECIMAL`."""
import sys

import grpc

address, count, request = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.argv[3])
with grpc.insecure_channel(address) as channel:
    call = channel.unary_unary("/quire.v1.BlockPool/Allocate")
    for _ in range(count):
        print(call(request, timeout=10).hex())
