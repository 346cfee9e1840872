"""Apply, publish, ask and replay against real servers: PostgreSQL, Kafka and Trino."""

import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import stack_fixture
from emptied import emptied
from kafka import KafkaConsumer, TopicPartition
from poison import event_id, good, packed
from pyiceberg.io.pyarrow import _dataframe_to_data_files

from connectors import headers
from connectors import kafka as topics
from connectors.events import DeadLetter, MacroIndicator
from iceberg_catalog.append import append
from iceberg_catalog.catalog import connect
from ticklake import queries
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
MACRO = "macro.indicators.v1"
START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def settings(servers: Settings) -> Settings:
    """Topics, tables and views applied, and no job."""
    done = ticklake(emptied(servers), "apply")
    assert done.returncode == 0, done.stderr
    return servers


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
    return [(partition, r.key, r.value) for partition, _, r in records(settings, topic)]


def records(settings: Settings, topic: str) -> list[tuple[int, int, Any]]:
    """All records of a topic: partition, offset and the record."""
    consumer = KafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap_servers, consumer_timeout_ms=10_000
    )
    try:
        parts = [TopicPartition(topic, p) for p in range(settings.kafka.partitions)]
        consumer.assign(parts)
        consumer.seek_to_beginning()
        wanted = sum(consumer.end_offsets(parts).values())
        found: list[tuple[int, int, Any]] = []
        while len(found) < wanted:
            for batch in consumer.poll(timeout_ms=5000).values():
                found += [(r.partition, r.offset, r) for r in batch]
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


def refuse(settings: Settings, offset: int, **changed: Any) -> str:  # noqa: ANN401 - any field
    """Store a dead letter of the macro indicators, as Flink would; returns its id."""
    given: dict[str, Any] = {
        "event_id": f"{MACRO}:0:{offset}",
        "topic": MACRO,
        "partition": 0,
        "offset": offset,
        "timestamp": datetime.now(UTC),
        "error_code": "wrong_type",
        "error_message": "value is a word",
        "record_key": b"CPI",
        "payload": packed(good(MacroIndicator, f"macro {offset}", value="many")),
        "headers": headers.packed([("trace", b"\xff")]),
    }
    letter = DeadLetter(**(given | changed))
    with closing(connect(settings.catalog)) as catalog:
        append(catalog, "dead_letters", [letter])
    return letter.event_id


def keep(settings: Settings, event_id: str, partition: int, offset: int) -> None:
    """Store a macro indicator in bronze, as Flink would."""
    queries.run(
        settings,
        "INSERT INTO raw_macro_indicators (event_id, source_provider, indicator, timestamp, value, "
        "revision, is_mock, _kafka_partition, _kafka_offset, _ingested_at) VALUES "
        "(?, 'poison', 'CPI', TIMESTAMP '2026-01-31 09:30:00 UTC', 1, 0, false, ?, ?, now())",
        (event_id, partition, offset),
    )


def statuses(settings: Settings) -> dict[str, str]:
    """The status of each dead letter."""
    rows = queries.run(settings, "SELECT event_id, status FROM dead_letter_status").rows
    assert len(rows) == len({row[0] for row in rows})
    return {row[0]: row[1] for row in rows}


def test_dead_letters_go_back_byte_for_byte(settings: Settings) -> None:
    """Key, bytes and headers unchanged, two headers more; refused without --yes; then under way."""
    bad = refuse(settings, 1, payload=b"\xff\xfe\x00", error_code="not_json")
    empty = refuse(settings, 2, payload=None, record_key=None, error_code="empty", headers=None)
    chosen = ("dlq", "replay", "--id", bad, "--id", empty)

    shown = ticklake(settings, "dlq", "show", bad).stdout
    asked = ticklake(settings, *chosen)
    done = json.loads(ticklake(settings, *chosen, "--yes", "--json").stdout)
    again = json.loads(ticklake(settings, *chosen, "--yes", "--json").stdout)
    listed = json.loads(ticklake(settings, "dlq", "list", "--json").stdout)

    assert "ff fe 00" in shown
    assert "header trace: 000000  ff" in shown
    assert asked.returncode == 2
    assert "2 dead letters would be sent again; say --yes" in asked.stderr
    assert done["sent"] == {MACRO: 1}
    assert [kept["id"] for kept in done["unsendable"]] == [empty]
    assert (again["sent"], again["settled"]) == ({}, {"sent": 1})
    assert statuses(settings) == {bad: "sent", empty: "open"}
    assert {g["error_code"]: g["statuses"]["sent"] for g in listed} == {"not_json": 1, "empty": 0}
    ((partition, offset, record),) = records(settings, MACRO)
    assert (record.key, record.value) == (b"CPI", b"\xff\xfe\x00")
    assert record.headers == [
        ("trace", b"\xff"),
        ("ticklake-dead-letter", bad.encode()),
        ("ticklake-attempt", b"1"),
    ]
    rows = queries.run(
        settings,
        'SELECT dead_letter_id, attempt, "partition", "offset", fixed FROM dead_letter_replays',
    ).rows
    assert rows == [[bad, 1, partition, offset, False]]


def test_each_dead_letter_says_what_became_of_it(settings: Settings) -> None:
    """By the place of the record that was sent again, whoever stored or refused it there."""
    ids = [refuse(settings, offset) for offset in range(10, 14)]
    good_one, bad_one, double, waiting = ids
    tired = refuse(settings, 14, attempts=5)
    unnoted = refuse(settings, 15)
    newest = refuse(
        settings, 70, headers=headers.packed([(headers.DEAD_LETTER, unnoted.encode())]), attempts=1
    )
    # once a note of "double" has an event time, its event can be found stored elsewhere
    fix = packed(good(MacroIndicator, "macro 12"))
    file = settings.local.home / "fix.ndjson"
    file.write_bytes(b'{"id":"%b","payload":%b}' % (double.encode(), fix))
    keep(settings, event_id("macro 12"), 3, 999)

    sent = [a for i in (good_one, bad_one, waiting, tired) for a in ("--id", i)]
    done = json.loads(ticklake(settings, "dlq", "replay", *sent, "--yes", "--json").stdout)
    fixed = ticklake(settings, "dlq", "replay", "--fix", str(file), "--yes", "--json")
    places = {
        row[0]: row[1:]
        for row in queries.run(
            settings, 'SELECT dead_letter_id, "partition", "offset" FROM dead_letter_replays'
        ).rows
    }
    keep(settings, event_id("macro 10"), *places[good_one])
    partition, offset = places[bad_one]
    newer = f"{MACRO}:{partition}:{offset}"
    refuse(settings, offset, event_id=newer, partition=partition)

    assert done["sent"] == {MACRO: 3}
    assert [kept["id"] for kept in done["parked"]] == [tired]
    assert "the last gave wrong_type: value is a word" in done["parked"][0]["reason"]
    assert json.loads(fixed.stdout)["sent"] == {MACRO: 1}, fixed.stderr
    found = statuses(settings)
    assert {
        good_one: "replayed",
        bad_one: "failed_again",
        newer: "open",
        double: "duplicate",
        waiting: "sent",
        tired: "parked",
        unnoted: "failed_again",
        newest: "open",
    } == {key: found[key] for key in (*ids, newer, tired, unnoted, newest)}
    told = ticklake(settings, "dlq", "show", newer).stdout
    assert "sent unchanged, attempt 1, to partition" in told
    assert f"failed again: {newer}" in told
    stored_at = ticklake(settings, "dlq", "show", good_one).stdout
    assert "replayed: stored in bronze.raw_macro_indicators, _kafka_partition" in stored_at
    twin = json.loads(ticklake(settings, "dlq", "show", double, "--json").stdout)
    assert (twin["stored_table"], twin["stored_partition"], twin["stored_offset"]) == (
        "raw_macro_indicators",
        3,
        999,
    )
    rest = ticklake(settings, "dlq", "export", "--topic", MACRO).stdout.splitlines()
    assert {json.loads(line)["id"] for line in rest} >= {newer, tired, newest}
    assert not {json.loads(line)["id"] for line in rest} & set(ids)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"value": "many"}, 'line 1: value is "many"; allowed is a decimal number'),
        ({"event_id": "other"}, "line 1: event_id is 'other'; the dead letter's is"),
    ],
)
def test_a_bad_fix_sends_nothing(
    settings: Settings, tmp_path: Path, payload: dict[str, Any], said: str
) -> None:
    """One line says what is wrong, exit code 2."""
    name = f"macro {len(said)}"
    bad = refuse(settings, 1000 + len(said), payload=packed(good(MacroIndicator, name)))
    before = len(records(settings, MACRO))
    file = tmp_path / "fix.ndjson"
    file.write_text(json.dumps({"id": bad, "payload": good(MacroIndicator, name, **payload)}))

    done = ticklake(settings, "dlq", "replay", "--fix", str(file), "--yes")

    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert len(records(settings, MACRO)) == before


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
