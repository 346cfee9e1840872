"""Apply, publish, ask and replay against real servers: PostgreSQL, Kafka and Trino."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
import stack_fixture
from kafka import KafkaConsumer, TopicPartition
from pyiceberg.io.pyarrow import _dataframe_to_data_files

from connectors import kafka as topics
from iceberg_catalog.catalog import connect
from ticklake import queries
from ticklake.local import kafka, postgres, processes, trino
from ticklake.settings import Settings, load

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
PARTS = (postgres, kafka, trino)
START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    """A stack of its own without Flink, with topics, tables and views applied."""
    given: Settings = stack_fixture.temporary_settings()
    home = given.local.home
    try:
        for part in PARTS:
            current = load(local=given.local)
            server = part.prepare(current)
            processes.start(server, home)
            processes.wait_ready(server, home, Event())
            if part is postgres:
                postgres.finish(current)
        current = load(local=given.local)
        done = ticklake(current, "apply")
        assert done.returncode == 0, done.stderr
        yield current
    finally:
        for part in reversed(PARTS):
            processes.stop(home, part.NAME)


def ticklake(settings: Settings, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on that stack."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.main", *arguments],
        env=os.environ | stack_fixture.environment(settings) | extra,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def stored(settings: Settings, topic: str) -> list[tuple[int, bytes | None, bytes | None]]:
    """All records of a topic: partition, key and value."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, consumer_timeout_ms=10_000
    )
    try:
        parts = [TopicPartition(topic, p) for p in range(settings.kafka.partitions)]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        wanted = sum(consumer.end_offsets(parts).values())
        found: list[tuple[int, bytes | None, bytes | None]] = []
        while len(found) < wanted:
            for records in consumer.poll(timeout_ms=5000).values():
                found += [(r.partition, r.key, r.value) for r in records]
        return found
    finally:
        consumer.close()


def test_apply_is_idempotent(settings: Settings) -> None:
    """A second run finds everything as declared."""
    again = ticklake(settings, "apply", "--json")

    assert json.loads(again.stdout) == []
    assert again.returncode == 0


def test_topics_are_as_declared_on_the_broker(settings: Settings) -> None:
    """The broker itself says that they go by arrival time."""
    assert topics.plan(settings.kafka) == []


def test_more_partitions_grow_fewer_are_refused(settings: Settings) -> None:
    """A refusal is exit code 2, and says what to set."""
    fewer = ticklake(settings, "apply", TICKLAKE_KAFKA__PARTITIONS="3")
    more = ticklake(settings, "apply", "--dry-run", "--json", TICKLAKE_KAFKA__PARTITIONS="5")

    assert fewer.returncode == 2
    assert "set kafka.partitions to 4" in fewer.stderr
    assert any("grow from 4 to 5 partitions" in c["detail"] for c in json.loads(more.stdout))
    assert topics.plan(settings.kafka) == []


def test_a_published_file_is_on_the_topic(settings: Settings, tmp_path: Path) -> None:
    """Each line once, with its key; a bad file leaves nothing."""
    topic = "ai.decisions.v1"
    lines: list[dict[str, Any]] = [
        {
            "event_id": f"d:{n}",
            "decision_id": str(n),
            "asset_pair": "BTCUSD",
            "timestamp": int(START.timestamp() * 1000) + n,
            "action": "BUY",
            "confidence": 80.5,
            "provider_name": "ensemble",
        }
        for n in range(2500)
    ]
    good, bad = tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    good.write_text("".join(json.dumps(line) + "\n" for line in lines))
    bad.write_text(good.read_text() + json.dumps(lines[0] | {"confidence": 101}))

    refused = ticklake(settings, "publish", str(bad), "--event", "ai_decision")
    between = stored(settings, topic)
    done = ticklake(settings, "publish", str(good), "--event", "ai_decision", "--json")

    assert refused.returncode == 2
    assert (
        "line 2501: confidence is 101; allowed is a decimal number from 0 to 100" in refused.stderr
    )
    assert between == []
    assert json.loads(done.stdout)["records"] == 2500
    found = stored(settings, topic)
    assert {f"d:{n}" for n in range(2500)} == {
        json.loads(v or b"")["event_id"] for _, _, v in found
    }
    assert list({key for _, key, _ in found}) == [b"BTCUSD"]
    assert len({partition for partition, _, _ in found}) == 1


def test_sql_shows_rows_and_one_line_of_what_is_wrong(settings: Settings) -> None:
    """JSON keeps decimals as text; a fault has its place; no answer is exit code 3."""
    statement = (
        "SELECT CAST(1.50 AS DECIMAL(18, 8)) AS price, TIMESTAMP '2026-01-31 09:30:00 UTC' AS t"
    )
    rows = ticklake(settings, "sql", statement, "--format", "json")
    wrong = ticklake(settings, "sql", "SELECT nix FROM raw_trades")
    silent = ticklake(settings, "sql", "SELECT 1", TICKLAKE_TRINO__PORT="1")

    assert json.loads(rows.stdout) == [{"price": "1.50000000", "t": "2026-01-31T09:30:00+00:00"}]
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "SQL line 1, column 8: Column 'nix' cannot be resolved" in wrong.stderr
    assert silent.returncode == 3
    assert "Trino does not answer" in silent.stderr
    assert "Traceback" not in wrong.stderr + silent.stderr


def test_dead_letters_go_back_byte_for_byte(settings: Settings) -> None:
    """Chosen by fault, sent with key and bytes unchanged, refused without --yes."""
    queries.run(
        settings,
        "INSERT INTO dead_letters VALUES "
        "('macro.indicators.v1:0:1', 'macro.indicators.v1', 0, 1, now(), 'not_json', 'cut off', "
        "CAST('CPI' AS varbinary), X'fffe00'), "
        "('macro.indicators.v1:0:2', 'macro.indicators.v1', 0, 2, now(), 'empty', 'no value', "
        "NULL, NULL)",
    )
    chosen = ("dlq", "replay", "--code", "not_json")

    groups = json.loads(ticklake(settings, "dlq", "list", "--json").stdout)
    shown = ticklake(settings, "dlq", "show", "macro.indicators.v1:0:1").stdout
    asked = ticklake(settings, *chosen)
    done = ticklake(settings, *chosen, "--yes", "--json")

    assert {("not_json", 1), ("empty", 1)} == {(g["error_code"], g["count"]) for g in groups}
    assert "not_json: cut off" in shown
    assert "ff fe 00" in shown
    assert asked.returncode == 2
    assert json.loads(done.stdout) == {"sent": {"macro.indicators.v1": 1}, "empty": 0}
    records = [(key, value) for _, key, value in stored(settings, "macro.indicators.v1")]
    assert records == [(b"CPI", b"\xff\xfe\x00")]


def beat(settings: Settings, partitions: list[int], second: int) -> None:
    """Commit heartbeats of these partitions as Flink would."""
    with closing(connect(settings.catalog)) as catalog:
        table = catalog.load_table("bronze.feed_heartbeats")
        rows = [
            {
                "event_id": f"clock:{p}:{second}",
                "source_provider": "clock",
                "asset_pair": "CLOCK",
                "timestamp": START,
                "is_mock": False,
                "_kafka_partition": p,
                "_kafka_offset": second,
                "_ingested_at": START + timedelta(seconds=second),
            }
            for p in partitions
        ]
        data = pa.Table.from_pylist(rows, schema=table.schema().as_arrow())
        with (
            table.transaction() as transaction,
            transaction.update_snapshot({"flink.job-id": "test"}).fast_append() as append,
        ):
            for file in _dataframe_to_data_files(table.metadata, data, table.io):
                # PyIceberg leaves the sort order empty, on which Trino 476 fails in $entries
                file._data[15] = 0  # noqa: SLF001
                append.append_data_file(file)


@pytest.mark.filterwarnings("ignore:Parquet writer option:UserWarning")  # one that PyIceberg lacks
def test_progress_is_what_is_surely_committed(settings: Settings) -> None:
    """The least of the partitions, without the newest commit; unknown is NULL, never too much."""

    def progress() -> list[Any]:
        rows = queries.run(
            settings, "SELECT complete_through, partitions FROM stream_progress"
        ).rows
        return [None if rows[0][0] is None else (rows[0][0] - START).total_seconds(), rows[0][1]]

    seen = [progress()]
    for partitions, second in [
        ([0, 1, 2, 3], 1),
        ([0, 1, 2], 2),
        ([3], 3),
        ([0, 1], 4),
        ([0], 5),
    ]:
        beat(settings, partitions, second)
        seen.append(progress())
    queries.run(settings, "ALTER TABLE feed_heartbeats EXECUTE optimize")
    seen.append(progress())
    beat(settings, [], 6)
    seen.append(progress())

    assert seen == [
        [None, 0],
        [None, 0],
        [1, 4],
        [1, 4],
        [2, 4],
        [2, 4],
        [None, 0],  # a compaction right behind the newest commit hides everything until the next
        [2, 4],
    ]
