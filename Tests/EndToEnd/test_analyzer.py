"""Looks at a pool by stock grpcio."""

import grpc
from grpc import StatusCode
import pytest

from quire_client import Client, PATIENCE, q, refused
from running_server import RunningServer


def test_a_snapshot_has_every_family_of_measures(pool):
    pool.add_and_admit(1, 17)
    pool.allocate(2)
    look = pool.Analyzer.GetSnapshot(
        q.GetSnapshotRequest(call=pool.call(), probe_blocks=[1, 1000], with_orphans=True),
        timeout=PATIENCE)
    size = look.stats.block_size
    held = -(-17 // size)
    assert look.stats.sequence_slots_held == held * size
    assert look.unused_slots == held * size - 17
    assert list(look.probe_fits) == list(look.probe_fits_available) == [True, False]
    assert sum(look.free_run_histogram) == look.stats.free_runs.count
    assert look.usage_by_blocks == (held + 2) / look.stats.capacity_blocks
    assert [(o.blocks, o.raw_blocks) for o in look.owners] == [(held + 2, 2)]
    assert [f.sequence.sequence_id for f in look.sequences] == [1]
    assert not look.sequences[0].sequence.block_ids
    assert look.orphaned_blocks == 0


def test_a_map_adds_up_to_the_pool(pool):
    pool.allocate(3)
    pool.free([2])
    blocks = pool.Analyzer.GetBlockMap(q.GetBlockMapRequest(call=pool.call()), timeout=PATIENCE)
    assert sum(run.cells for run in blocks.runs) == blocks.blocks == pool.stats().capacity_blocks
    assert [run.state for run in blocks.runs] == [
        q.BLOCK_STATE_ACTIVE, q.BLOCK_STATE_FREE, q.BLOCK_STATE_ACTIVE, q.BLOCK_STATE_FREE]


def test_watched_stats_come_by_themselves(pool):
    watch = pool.Analyzer.WatchStats(
        q.WatchStatsRequest(call=pool.call(), interval_ms=20, include=[q.STATS_INCLUDE_RUNS]),
        timeout=PATIENCE)
    assert next(watch).active_blocks == 0
    pool.allocate(3)
    # Each comes without being asked for; the change is in one of them soon.
    stats = next(s for s in watch if s.active_blocks == 3)
    assert stats.free_runs.largest == stats.free_blocks
    watch.cancel()


def test_a_history_grows_while_the_server_samples(tmp_path):
    with RunningServer(str(tmp_path), more=["--sample-interval", "20ms"]) as server, \
            grpc.insecure_channel(server.tcp) as channel:
        pool = Client(channel)
        watch = pool.Analyzer.WatchStats(
            q.WatchStatsRequest(call=pool.call(), interval_ms=20), timeout=PATIENCE)
        for _ in watch:
            history = pool.Analyzer.GetHistory(
                q.GetHistoryRequest(call=pool.call()), timeout=PATIENCE)
            if sum(sample.looks for sample in history.samples) >= 3:
                break
        watch.cancel()
        assert history.interval_ms == 20
        assert all(s.stats.capacity_blocks for s in history.samples)


def test_peaks_are_reset(pool):
    pool.allocate(5)
    pool.free([1, 2, 3])
    before = pool.get_pool().revision
    stats = pool.Analyzer.ResetPeaks(q.ResetPeaksRequest(call=pool.call()), timeout=PATIENCE)
    assert (stats.high_watermark_blocks, stats.revision) == (2, before)


@pytest.mark.parametrize("interval", [1, 3_600_001])
def test_an_interval_out_of_range_is_refused(pool, interval):
    with refused(StatusCode.INVALID_ARGUMENT) as told:
        next(pool.Analyzer.WatchStats(
            q.WatchStatsRequest(call=pool.call(), interval_ms=interval), timeout=PATIENCE))
    assert "interval_ms must be 0 or 10 to 3600000" in told.message
