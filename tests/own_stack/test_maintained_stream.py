"""Maintenance in a loop while a job commits every second; then the job comes back from its state.

Nothing is lost, nothing is there twice, although expiry leaves hardly a snapshot.
"""

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from emptied import emptied
from integration_tools import cluster_of, with_jobs

from connectors.events import Tick
from connectors.kafka import Publisher
from connectors.sources.simulated import CENT, Instrument, Plan, Sent, simulate
from iceberg_catalog import maintain as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.maintain import CARRIED, CHECKPOINT, JOB, OPERATOR
from iceberg_catalog.settings import MaintainSettings
from iceberg_catalog.tables import tables
from ticklake import queries
from ticklake.local.flink import client_environment
from ticklake.maintain import Outcome, maintain
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

WRITTEN = ("raw_trades", "feed_heartbeats", "dead_letters")
LIMITS = MaintainSettings(
    small_files=5, manifests=5, snapshot_hours=0.002, hourly_tag_hours=0, daily_tag_days=0
)


@pytest.fixture(scope="module")
def stream(servers: Settings) -> Settings:
    """Emptied for this file; the job `ticks` commits every second."""
    running = with_jobs(emptied(servers), ["ticks"], checkpoint_seconds=1)
    return running.model_copy(update={"maintain": LIMITS})


def market(seed: int, seconds: float) -> list[Sent]:
    """So long from now: eight pairs, duplicates, broken records."""
    pairs = tuple(
        Instrument("sim", f"P{n:02}USD", 100 + n, CENT, trades=40, quotes=0) for n in range(8)
    )
    plan = Plan(
        start=datetime.now(UTC),
        seconds=seconds,
        seed=seed,
        instruments=pairs,
        malformed=0.01,
        late=0,
        quiet=None,
        outage=None,
        decide_every=0,
    )
    return list(simulate(plan))


def send(settings: Settings, records: list[Sent]) -> None:
    """Send each record when it is due."""
    began = time.monotonic()
    with Publisher(settings.kafka) as publisher:
        for record in records:
            time.sleep(max(0, record.at - (time.monotonic() - began)))
            publisher.send_raw(record.topic, record.key, record.value)


def expected(*sent: list[Sent]) -> set[str]:
    """Ids of the trades that must be stored."""
    ticks = [r.event for records in sent for r in records if r.intent == "good"]
    return {t.event_id for t in ticks if isinstance(t, Tick) and t.kind == "trade"}


def stored_trades(settings: Settings) -> list[str]:
    """Ids of all trades, on time or late."""
    rows = queries.run(
        settings,
        "SELECT event_id FROM bronze.raw_trades UNION ALL SELECT event_id FROM bronze.late_trades",
    ).rows
    return [row[0] for row in rows]


def await_trades(settings: Settings, ids: set[str]) -> None:
    """Wait for as many rows; then the ids are these, each once."""
    deadline = time.monotonic() + 120
    found: list[str] = []
    while time.monotonic() < deadline and len(found) < len(ids):
        time.sleep(2)
        found = stored_trades(settings)
    assert len(found) == len(ids)
    assert set(found) == ids


def assert_nothing_twice(settings: Settings) -> None:
    """Each id once, in each table that the job surely wrote."""
    for table in WRITTEN:
        rows = queries.run(
            settings, f"SELECT count(*), count(DISTINCT event_id) FROM bronze.{table}"
        ).rows
        assert rows[0][0] == rows[0][1] > 0, table


def test_maintained_in_a_loop_nothing_is_lost_or_doubled(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compaction, manifests, expiry and orphans, again and again, between commits of a second."""
    monkeypatch.setattr(lake, "SLACK", timedelta(seconds=5))
    sent = market(seed=1, seconds=40)
    sender = Thread(target=send, args=(stream, sent))
    rounds: list[Outcome] = []
    sender.start()
    while sender.is_alive():
        rounds += maintain(stream, [f"bronze.{name}" for name in WRITTEN])
    sender.join()

    await_trades(stream, expected(sent))
    assert_nothing_twice(stream)
    assert not [reason for outcome in rounds for reason in outcome.failed]
    steps = [step.split()[0] for outcome in rounds for step in outcome.done]
    assert {"compact", "rewrite", "expire", "remove"} <= set(steps)
    assert cluster_of(stream).metric_of_job(cluster_of(stream).running("ticks"), "numRestarts") == 0


def test_a_job_finds_its_last_checkpoint_after_expire_everything(
    stream: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where another job wrote on and its marker had to be carried."""
    monkeypatch.setattr(lake, "SLACK", timedelta(seconds=5))
    monkeypatch.setattr(lake, "_NEAR", 0)
    before = set(stored_trades(stream))
    sent = market(seed=2, seconds=20)
    sender = Thread(target=send, args=(stream, sent))
    sender.start()
    time.sleep(10)
    cluster = cluster_of(stream)
    cluster.stop("ticks", savepoint=False)  # its newest checkpoint has rows, and they are committed
    sender.join()
    written = [t.identifier for t in tables() if t.identifier[1] in (*WRITTEN, "market_bars_5s")]
    names = [".".join(identifier) for identifier in written]
    with closing(connect(stream.catalog)) as catalog:
        for identifier in written:
            for number in range(3):
                other = {JOB: "other", OPERATOR: "other", CHECKPOINT: str(number)}
                with (
                    catalog.load_table(identifier).transaction() as transaction,
                    transaction.update_snapshot(other).fast_append(),
                ):
                    pass
        time.sleep(8)
        maintain(stream, names)
        time.sleep(8)
        outcomes = maintain(stream, names)
        left = [
            snapshot.summary
            for identifier in written
            for snapshot in catalog.load_table(identifier).metadata.snapshots
            if snapshot.summary and snapshot.summary[JOB] not in (None, "other")
        ]
    assert left
    assert all(summary[CARRIED] for summary in left)
    assert not [reason for outcome in outcomes for reason in outcome.failed]

    cluster.submit("ticks", client_environment(stream))
    await_trades(stream, before | expected(sent))
    assert_nothing_twice(stream)
    assert cluster.metric_of_job(cluster.running("ticks"), "numRestarts") == 0
