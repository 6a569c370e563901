"""A client that keeps its own books from nothing but the replies, against the server's."""

import random
from collections import Counter

import pytest

from quire_client import add, check_partition, q
from test_streams import Stream

BLOCKS, BLOCK_SIZE = 32, 4


class Ledger:
    """Who holds what, learnt from deltas alone."""

    def __init__(self):
        self.tables = {}  # of running sequences
        self.tokens = {}  # of all sequences
        self.raw = Counter()
        self.pinned = set()  # ends of the copies that the last step ordered

    def references(self):
        held = Counter(self.raw)
        for table in self.tables.values():
            held.update(table)
        return +held

    def take(self, blocks):
        for block in blocks:
            assert 1 <= block <= BLOCKS
            assert block not in self.references() and block not in self.pinned, "handed out twice"
        return list(blocks)

    def copy(self, orders):
        for order in orders:
            if order.target_block in self.references():
                raise AssertionError("a copy into a block that is held")
            table = self.tables[order.sequence_id]
            assert table[order.table_index] == order.source_block
            table[order.table_index] = order.target_block
            self.pinned |= {order.source_block, order.target_block}


class Walker:
    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.books = Ledger()
        self.next_id = 1

    def some(self, of, most=3):
        of = sorted(of)
        return self.draw.sample(of, min(len(of), self.draw.randint(1, most)))

    def propose(self):
        """An operation that may well be refused, and what to enter when it is not."""
        books, draw = self.books, self.draw
        running = list(books.tables)
        preempted = [s for s in books.tokens if s not in books.tables]
        kinds = ["admit", "decode", "decode", "free", "allocate", "free_raw", "fork_raw"]
        kinds += ["fork", "fork", "rewind", "preempt"] if running else []
        kinds += ["readmit"] if preempted else []
        kind = draw.choice(kinds)
        if kind == "admit":
            new, tokens = self.next_id, draw.randint(1, 24)
            self.next_id += 1
            return q.Op(admit=q.Admit(add=add(new, tokens))), self.admitted(new, tokens)
        if kind == "readmit":
            old = draw.choice(preempted)
            return q.Op(admit=q.Admit(sequence_id=old)), self.admitted(old, books.tokens[old])
        if kind == "decode" and running:
            chosen = self.some(running, 8)
            counts = [draw.randint(1, 5) for _ in chosen]
            op = q.Op(on_refusal=q.ON_REFUSAL_PREEMPT,
                      decode=q.Decode(sequence_ids=chosen, append_counts=counts))
            return op, self.decoded(chosen, counts)
        if kind == "fork":
            parent, child = draw.choice(running), self.next_id
            self.next_id += 1
            return (q.Op(fork=q.Fork(parent_id=parent, child_ids=[child])),
                    self.forked(parent, child))
        if kind == "rewind":
            chosen = draw.choice(running)
            drop = draw.randint(1, max(1, books.tokens[chosen] - 1))
            op = q.Rewind(sequence_id=chosen, drop_tokens=drop, release_blocks=True)
            return q.Op(rewind=op), self.rewound(chosen)
        if kind == "preempt":
            chosen = self.some(running)
            return q.Op(preempt=q.Preempt(sequence_ids=chosen)), self.preempted(chosen)
        if kind == "free" and books.tokens:
            chosen = self.some(books.tokens)
            return q.Op(free_sequences=q.FreeSequences(sequence_ids=chosen)), self.freed(chosen)
        if kind == "free_raw" and books.raw:
            chosen = self.some(+books.raw, 6)
            return q.Op(free_blocks=q.FreeBlocks(block_ids=chosen)), self.raw_changed(chosen, -1)
        if kind == "fork_raw" and books.raw:
            chosen = self.some(+books.raw)
            return q.Op(fork_blocks=q.ForkBlocks(block_ids=chosen)), self.raw_changed(chosen, 1)
        return q.Op(allocate=q.Allocate(count=draw.randint(1, 6))), self.allocated

    def admitted(self, sequence, tokens):
        def enter(result):
            self.books.tables[sequence] = self.books.take(result.admit.new_block_ids)
            self.books.tokens[sequence] = tokens
            assert len(self.books.tables[sequence]) == -(-tokens // BLOCK_SIZE)
        return enter

    def decoded(self, chosen, counts):
        def enter(result):
            books, decode = self.books, result.decode
            victims = list(decode.preempted_sequence_ids)
            for sequence, count in zip(chosen, counts):
                books.tokens[sequence] += count
            # Victims are the last of the list, so what they gave back went to those before them.
            for victim in victims:
                books.tables[victim] = []
            books.copy(c for c in decode.copies if c.sequence_id not in victims)
            books.pinned |= {e for c in decode.copies for e in (c.source_block, c.target_block)}
            blocks = list(decode.new_block_ids)
            for sequence, count in zip(chosen, decode.new_block_counts):
                new, blocks = blocks[:count], blocks[count:]
                books.tables[sequence] += books.take(new)
            for victim in victims:
                del books.tables[victim]
            assert blocks == []
        return enter

    def forked(self, parent, child):
        def enter(_):
            self.books.tables[child] = list(self.books.tables[parent])
            self.books.tokens[child] = self.books.tokens[parent]
        return enter

    def rewound(self, sequence):
        def enter(result):
            self.books.tokens[sequence] = result.rewind.tokens
            del self.books.tables[sequence][-(-result.rewind.tokens // BLOCK_SIZE):]
        return enter

    def preempted(self, sequences):
        def enter(_):
            for sequence in sequences:
                del self.books.tables[sequence]
        return enter

    def freed(self, sequences):
        def enter(_):
            for sequence in sequences:
                self.books.tables.pop(sequence, None)
                del self.books.tokens[sequence]
        return enter

    def allocated(self, result):
        self.books.raw.update(self.books.take(result.allocate.block_ids))

    def raw_changed(self, blocks, by):
        def enter(_):
            for block in blocks:
                self.books.raw[block] += by
            self.books.raw = +self.books.raw
        return enter


def check(pool, books):
    stats = pool.stats()
    check_partition(stats)
    references = books.references()
    assert stats.active_blocks == sum(count == 1 for count in references.values())
    assert stats.shared_blocks == sum(count > 1 for count in references.values())
    assert stats.pinned_blocks == len(books.pinned - set(references))
    assert stats.running_sequences == len(books.tables)
    for sequence, tokens in books.tokens.items():
        told = pool.get(sequence)
        assert list(told.block_ids) == books.tables.get(sequence, [])
        assert told.tokens == tokens


@pytest.mark.parametrize("seed", range(3))
def test_replies_alone_tell_a_client_who_holds_what(new_pool, seed):
    pool = new_pool(BLOCKS, BLOCK_SIZE)
    walker = Walker(seed)
    accepted, preemptions, copies = Counter(), 0, 0
    with Stream(pool) as stream:
        for turn in range(3000):
            op, enter = walker.propose()
            reply = stream.step(op)
            (result,) = reply.results
            walker.books.pinned = set()
            if not result.HasField("refusal"):
                enter(result)
                accepted[result.WhichOneof("reply")] += 1
                preemptions += len(result.decode.preempted_sequence_ids)
                copies += len(result.decode.copies)
            unavailable = set(walker.books.references()) | walker.books.pinned
            assert reply.available_blocks == BLOCKS - len(unavailable)
            if turn % 50 == 0:
                check(pool, walker.books)
    check(pool, walker.books)
    # The walk went everywhere.
    assert len(accepted) == 9 and min(accepted.values()) > 10
    assert preemptions > 10 and copies > 10
