"""The audit proves a clean lake, and finds and names what was done to it behind the jobs' back."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
import stack_fixture
from integration_tools import Query, beat_ticks
from pyiceberg.expressions import EqualTo

from connectors.events import AIDecision, Tick
from connectors.kafka import Publisher
from connectors.progress import await_read
from connectors.sources.simulated import CENT, Instrument, Plan, Sent, simulate
from flink_jobs.cluster import Cluster
from flink_jobs.run import job
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import NAMESPACE, tables
from ticklake import queries
from ticklake.audit.run import Report, audit
from ticklake.local.flink import client_environment
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TOPIC = Tick.stream.topic or ""


def market_of(seconds: float) -> list[Sent]:
    """A market with copies, broken and late records, decisions and executions."""
    pairs = tuple(
        Instrument("audited", f"A{n:02}USD", 100 + n, CENT, trades=100, quotes=20)
        for n in range(16)
    )
    plan = Plan(
        start=datetime.now(UTC) - timedelta(seconds=seconds + 10),
        seconds=seconds,
        instruments=pairs,
        duplicates=0.05,
        malformed=0.005,
        late=0.01,
        late_by=10,
        quiet=None,
        outage=None,
    )
    return list(simulate(plan))


def send(settings: Settings, records: Iterable[Sent]) -> None:
    """All of them are on the broker."""
    with Publisher(settings.kafka) as publisher:
        for record in records:
            publisher.send_raw(record.topic, record.key, record.value)


def beat(settings: Settings) -> None:
    """A checkpoint of each job holds all that was sent, this beat too."""
    moment = datetime.now(UTC)
    decision = AIDecision(
        event_id=f"audited:beat:{moment.isoformat()}",
        decision_id=moment.isoformat(),
        asset_pair="A00USD",
        timestamp=moment,
        action="HOLD",
        confidence=50,
        provider_name="audited",
        is_mock=True,
    )
    with Publisher(settings.kafka) as publisher:
        publisher.send(decision)
    beat_ticks(settings)
    assert await_read(settings.kafka, job("events").group, AIDecision.stream.topic or "", 120)


def heads(settings: Settings) -> dict[str, int]:
    """The current snapshot of each table."""
    with connect(settings.catalog) as catalog:
        found = {t.name: catalog.load_table(t.identifier).current_snapshot() for t in tables()}
    return {name: snapshot.snapshot_id for name, snapshot in found.items() if snapshot}


@contextmanager
def undone(settings: Settings, query: Query) -> Iterator[None]:
    """What is done to the tables inside is taken back, and then the audit is clean again."""
    before = heads(settings)
    try:
        yield
    finally:
        for name, snapshot in heads(settings).items():
            if name in before and snapshot != before[name]:
                query(f"ALTER TABLE bronze.{name} EXECUTE rollback_to_snapshot({before[name]})")
    assert_clean(settings, TOPIC)


def assert_clean(settings: Settings, topic: str | None = None) -> Report:
    """All is proven."""
    report = audit(settings, topic=topic)
    assert [(c.name, c.outcome, c.said) for c in report.checks if c.outcome != "proven"] == []
    assert report.exit_code == 0
    return report


def said(report: Report) -> list[str]:
    """The differences, in the order of the checks."""
    return [c.said for c in report.checks if c.outcome == "difference" and c.said]


@pytest.fixture(scope="module")
def market(stack: Settings, query: Query) -> list[Sent]:
    """A market went through the jobs, and its late trades were merged."""
    sent = market_of(8)
    send(stack, (record for record in sent if record.intent != "late"))
    beat(stack)  # closes the windows of what is late
    send(stack, (record for record in sent if record.intent == "late"))
    beat(stack)
    beat(stack)  # one more checkpoint, by which those before are settled
    merge = files("iceberg_catalog").joinpath("merge_late_trades.sql").read_text()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    merged = queries.run(stack, merge, (epoch, datetime.now(UTC))).rows[0][0]
    assert merged > 0
    return sent


def test_a_clean_lake_is_proven_while_the_jobs_run(market: list[Sent], stack: Settings) -> None:
    """Every record of the market is in the receipts, as what it was meant to be."""
    report = assert_clean(stack)

    (ticks,) = (one for one in report.topics if one.topic == TOPIC)
    of_ticks = [record for record in market if record.topic == TOPIC]
    assert ticks.records >= len(of_ticks)
    assert ticks.duplicates >= sum(record.intent == "duplicate" for record in of_ticks)
    assert ticks.dead >= sum(record.intent == "malformed" for record in of_ticks)
    assert ticks.late > 0
    assert ticks.records == ticks.stored + ticks.late + ticks.duplicates + ticks.dead
    assert {one.topic for one in report.topics} > {"ai.decisions.v1", "trading.executions.v1"}


def test_a_snapshot_says_what_it_covers(market: list[Sent], query: Query) -> None:
    """A table's snapshots together cover what the receipts count, once.

    Of the tables that get a row with each beat: others have no snapshot of their newest checkpoint.
    """
    receipts = query(
        "SELECT sum(records), sum(stored), sum(late), sum(duplicates), sum(dead)"
        f" FROM bronze.commit_receipts WHERE topic = '{TOPIC}'"
    )

    for table in ("feed_heartbeats", "commit_receipts"):
        covered = query(
            "SELECT sum(records), sum(stored), sum(late), sum(duplicates), sum(dead)"
            f" FROM bronze.snapshot_receipts WHERE table_name = '{table}' AND topic = '{TOPIC}'"
        )
        assert covered == receipts


def test_compaction_and_expiry_change_no_proof(
    market: list[Sent], stack: Settings, query: Query
) -> None:
    """Files are rewritten, all snapshots but the newest of Flink and the newest are expired."""
    with connect(stack.catalog) as catalog:
        for name in ("raw_trades", "late_trades", "commit_receipts"):
            query(f"ALTER TABLE bronze.{name} EXECUTE optimize")
            table = catalog.load_table((NAMESPACE, name))
            by_flink = [s for s in table.snapshots() if s.summary and "flink.job-id" in s.summary]
            kept = {max(by_flink, key=lambda s: s.timestamp_ms), table.current_snapshot()}
            ids = {s.snapshot_id for s in kept if s}
            old = [s.snapshot_id for s in table.snapshots() if s.snapshot_id not in ids]
            table.maintenance.expire_snapshots().by_ids(old).commit()

    assert_clean(stack)


@pytest.mark.filterwarnings("ignore:Parquet writer option")
def test_a_planted_copy_of_a_data_file_is_named(
    market: list[Sent], stack: Settings, query: Query
) -> None:
    """By the first event that is there twice, and the files; on the command line too."""
    with undone(stack, query), connect(stack.catalog) as catalog:
        table = catalog.load_table((NAMESPACE, "raw_trades"))
        rows = table.scan(row_filter=EqualTo("asset_pair", "A07USD")).to_arrow()
        table.append(rows)

        done = subprocess.run(
            [sys.executable, "-m", "ticklake.main", "audit", "--topic", TOPIC, "--since", "1h"],
            env=os.environ | stack_fixture.environment(stack),
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.returncode == 1, done.stderr
    assert "bronze.raw_trades: event audited:trade:A07USD:" in done.stdout
    assert "is there 2 times, in file:" in done.stdout


def test_a_removed_row_is_named(market: list[Sent], stack: Settings, query: Query) -> None:
    """By the receipt that counts one more, and by its offset and id in the topic."""
    row = query(
        "SELECT event_id, _kafka_partition, _kafka_offset FROM bronze.raw_quotes"
        " WHERE asset_pair = 'A03USD' ORDER BY _kafka_offset OFFSET 50 LIMIT 1"
    )
    event_id, partition, offset = row[0]
    with undone(stack, query):
        query(f"DELETE FROM bronze.raw_quotes WHERE event_id = '{event_id}'")

        found = said(audit(stack, topic=TOPIC))

    assert len(found) == 2
    assert "bronze.raw_quotes" in found[0]
    assert "are too few" in found[0]
    assert f"{TOPIC} partition {partition}, offset {offset}: event {event_id}" in found[1]


def test_rewound_offsets_are_named(
    market: list[Sent], stack: Settings, query: Query, cluster: Cluster
) -> None:
    """The job goes on from a state that is older than the tables, and stores rows again.

    Flink's own client puts it right again, as one would on any cluster.
    """
    environment = client_environment(stack)
    older = cluster.stop("ticks", savepoint=True)
    cluster.submit("ticks", environment)
    send(stack, (record for record in market_of(2) if record.topic == TOPIC))
    beat_ticks(stack)
    newer = cluster.stop("ticks", savepoint=True)
    with undone(stack, query):
        # the other job commits nothing meanwhile: that would be taken back too
        cluster.submit("ticks", environment, older, rewind=True)
        beat_ticks(stack)
        beat_ticks(stack)

        found = said(audit(stack, topic=TOPIC))

        cluster.stop("ticks", savepoint=False)
        await_ended(cluster, "ticks")
    assert f"{TOPIC} partition" in found[0]
    assert "were read twice, rewound" in found[0]
    assert "is there 2 times" in found[1]
    flink_run(cluster.environment(environment), "ticks", newer)
    beat(stack)
    beat(stack)
    assert_clean(stack)


def flink_run(environment: dict[str, str], name: str, savepoint: str) -> None:
    """`flink run -py flink_jobs/run.py NAME`, the settings in the environment."""
    flink = str(Path(environment["FLINK_HOME"]) / "bin" / "flink")
    script = str(files("flink_jobs") / "run.py")
    python = ["-pyclientexec", sys.executable, "-py", script]
    address = environment.pop("TICKLAKE_FLINK__REST_ADDRESS")
    given = [flink, "run", "-m", address, "-s", savepoint, *python, name]
    subprocess.run(given, env=environment, check=True)


def await_ended(cluster: Cluster, name: str, seconds: float = 60) -> None:
    """Until no job of that name runs."""
    deadline = time.monotonic() + seconds
    while any(j.name == name and not j.ended for j in cluster.jobs()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
