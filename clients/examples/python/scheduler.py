"""A continuous-batching scheduler on stock grpcio. Quire keeps the block tables; copy and adapt.

    python scheduler.py 127.0.0.1:8765
"""

import random
import sys
from collections import deque

import grpc
from quire.v1.scheduler_pb2 import ON_REFUSAL_PREEMPT, ON_REFUSAL_STOP, Decode, Op, StepRequest
from quire.v1.scheduler_pb2_grpc import SchedulerStub
from quire.v1.sequences_pb2 import Add, Admit, Content, FreeSequences
from quire.v1.types_pb2 import REFUSAL_REASON_NEVER


class Request:
    def __init__(self, id, prompt_tokens, output_tokens):
        self.id, self.prompt_tokens, self.left = id, prompt_tokens, output_tokens
        self.was_added = False


def run(stub, requests, max_running=32, report_every=100):
    """Runs `requests` to completion; the numbers of steps and of preemptions it took."""
    waiting, running, done = deque(requests), {}, []  # running: by id, the latest admitted last
    steps = preemptions = 0
    while waiting or running or done:
        # One call per iteration. Who is done gives its blocks back. Then decode, one token each: a
        # full pool preempts the latest, as vLLM does. Then admissions, in order, while they fit.
        ops = [Op(free_sequences=FreeSequences(sequence_ids=done))] if done else []
        if running:
            ops.append(Op(on_refusal=ON_REFUSAL_PREEMPT, decode=Decode(sequence_ids=running)))
        candidates = list(waiting)[: max_running - len(running)]
        for r in candidates:
            add = Add(sequence_id=r.id, content=Content(token_count=r.prompt_tokens))
            admit = Admit(sequence_id=r.id) if r.was_added else Admit(add=add)
            ops.append(Op(on_refusal=ON_REFUSAL_STOP, admit=admit))
        reply = stub.Step(StepRequest(ops=ops, no_admit_after_preemption=True))
        results = iter(reply.results)

        if done:
            next(results)
            done = []
        if running:
            for victim in next(results).decode.preempted_sequence_ids:  # the latest first
                waiting.appendleft(running.pop(victim))
                preemptions += 1
            for r in list(running.values()):  # here the model computes a token of each
                r.left -= 1
                if r.left == 0:
                    done.append(running.pop(r.id).id)
        for r, result in zip(candidates, results):
            if result.HasField("refusal"):
                if result.refusal.reason == REFUSAL_REASON_NEVER:
                    raise ValueError(f"request {r.id} is too long: {result.refusal.detail}")
                break  # it stays at the head of the queue
            # Here the model computes result.admit.scheduled_tokens tokens of the prompt, into the
            # blocks result.admit.new_block_ids.
            running[r.id] = waiting.popleft()
            r.was_added = True
        steps += 1
        if steps % report_every == 0:
            print(f"step {steps}: {len(running)} running, {len(waiting)} waiting, "
                  f"{reply.available_blocks} blocks available, {preemptions} preemptions")
    return steps, preemptions


if __name__ == "__main__":
    draw = random.Random(42)
    work = [Request(i, draw.randint(16, 1024), draw.randint(8, 256)) for i in range(1, 201)]
    with grpc.insecure_channel(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8765") as channel:
        print("finished: %d steps, %d preemptions" % run(SchedulerStub(channel), work))
