#!/usr/bin/env python3
"""Stock grpcio, a pool of 8 threads: /quire.v1.BlockPool/Allocate over blocks handed out in order.

    grpcio_server.py BLOCKS     prints its address, then serves until SIGTERM

STUBS names the folder with the stubs.
"""
import os
import signal
import sys
import threading
from concurrent import futures

sys.path.insert(0, os.environ["STUBS"])
import grpc  # noqa: E402
from quire.v1 import block_pool_pb2, block_pool_pb2_grpc  # noqa: E402


class Pool(block_pool_pb2_grpc.BlockPoolServicer):
    def __init__(self, blocks):
        self.lock = threading.Lock()
        self.blocks, self.taken, self.revision = blocks, 0, 0

    def Allocate(self, request, context):
        count = request.allocate.count
        with self.lock:
            if 0 < count <= self.blocks - self.taken:
                first = self.taken + 1
                self.taken += count
                self.revision += 1
                return block_pool_pb2.AllocateReply(
                    revision=self.revision, block_ids=range(first, first + count),
                    available_blocks=self.blocks - self.taken)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "the pool is full")


def main():
    pool = Pool(int(sys.argv[1]))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    block_pool_pb2_grpc.add_BlockPoolServicer_to_server(pool, server)
    port = server.add_insecure_port("127.0.0.1:0")
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server.start()
    print(f"listening on 127.0.0.1:{port}", flush=True)
    ended.wait()
    server.stop(None)
    print(f"allocated_blocks={pool.taken}", file=sys.stderr)


if __name__ == "__main__":
    main()
