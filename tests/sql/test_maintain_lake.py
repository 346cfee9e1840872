"""`ticklake maintain` through a real Trino, over tables as they are declared."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pyarrow import parquet
from pyiceberg.catalog import Catalog

from iceberg_catalog import maintain as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.maintain import CHECKPOINT, JOB, OPERATOR
from iceberg_catalog.settings import MaintainSettings
from ticklake import maintain, queries
from ticklake.maintain import Outcome
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

TABLE = "bronze.raw_quotes"
DAYS = ("2026-11-20", "2026-11-21")
EVERYTHING = MaintainSettings(
    small_files=2, manifests=2, snapshot_hours=0, hourly_tag_hours=0, daily_tag_days=0
)
Ask = Callable[[str], list[list[object]]]


def limited(settings: Settings, limits: MaintainSettings = EVERYTHING) -> Settings:
    """The same stack, maintained by these limits."""
    return settings.model_copy(update={"maintain": limits})


def only(outcomes: list[Outcome]) -> Outcome:
    """The outcome of one table, at which nothing failed."""
    (found,) = outcomes
    assert (found.skipped, found.failed) == ([], [])
    return found


@pytest.fixture(scope="module")
def ask(declared: Settings) -> Ask:
    """Rows of one statement."""
    return lambda statement: queries.run(declared, statement).rows


@pytest.fixture
def catalog(declared: Settings) -> Iterator[Catalog]:
    """The lake's catalog."""
    with closing(connect(declared.catalog)) as found:
        yield found


@pytest.fixture
def quotes(ask: Ask) -> None:
    """Quotes of two days: six files a day, in each of them every pair and the whole day."""
    ask(f"DELETE FROM {TABLE}")
    for day in DAYS:
        for number in range(6):
            rows = ", ".join(
                f"('{day}:{number}:{n}', 'sim', 'P{n % 7}USD', timestamp '{day} {hour:02}:00 UTC', "
                f"1, 2, false, 0, {number}, timestamp '{day} 23:59 UTC')"
                for n in range(50)
                for hour in [(n * 5 + number) % 24]
            )
            ask(
                f"INSERT INTO {TABLE} (event_id, source_provider, asset_pair, timestamp, bid, ask, "
                f"is_mock, _kafka_partition, _kafka_offset, _ingested_at) VALUES {rows}"
            )


def files(catalog: Catalog, table: str = TABLE) -> list[Path]:
    """Data files of the newest snapshot."""
    tasks = catalog.load_table(table).scan().plan_files()
    return sorted(Path(urlsplit(task.file.file_path).path) for task in tasks)


def test_a_crowded_partition_becomes_one_sorted_file(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask
) -> None:
    """By pair, then time, over all of what the small files held; the same rows as before."""
    rows = ask(f"SELECT * FROM {TABLE} ORDER BY event_id")
    small = files(catalog)

    outcome = only(maintain.maintain(limited(declared), [TABLE]))

    large = files(catalog)
    assert (len(small), len(large)) == (12, 2)
    assert (outcome.before.files, outcome.after.files) == (12, 2)
    for file in large:
        found = parquet.ParquetFile(file).read(columns=["asset_pair", "timestamp"]).to_pylist()
        order = [(row["asset_pair"], row["timestamp"]) for row in found]
        assert len(order) == 300
        assert order == sorted(order)
    assert ask(f"SELECT * FROM {TABLE} ORDER BY event_id") == rows


def test_only_a_crowded_partition_is_rewritten(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask
) -> None:
    """The other day's files stay the same files."""
    ask(f"DELETE FROM {TABLE} WHERE timestamp < timestamp '{DAYS[1]} 00:00 UTC'")
    ask(
        f"INSERT INTO {TABLE} SELECT * FROM {TABLE} WHERE event_id = '{DAYS[1]}:1:1'"
        f" AND timestamp >= timestamp '{DAYS[1]} 00:00 UTC'"
    )
    limits = EVERYTHING.model_copy(update={"small_files": 7})
    before = files(catalog)
    single = ask(f"SELECT count(*) FROM {TABLE}")

    planned = only(maintain.maintain(limited(declared, limits), [TABLE], dry_run=True))
    between = files(catalog)
    done = only(maintain.maintain(limited(declared, limits), [TABLE]))

    assert f"compact 7 small files of {DAYS[1]}" in planned.done
    assert between == before
    assert f"compact 7 small files of {DAYS[1]}" in done.done
    assert len(files(catalog)) == 1
    assert ask(f"SELECT count(*) FROM {TABLE}") == single


def test_tags_allow_time_travel_after_expiry(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state at the end of an hour, with rows that are gone by now."""
    monkeypatch.setattr(lake, "SLACK", timedelta(0))
    later = datetime.now(UTC) + timedelta(hours=2)
    lake.settle(catalog, ("bronze", "raw_quotes"), later, MaintainSettings())
    table = catalog.load_table(TABLE)
    (tag,) = [name for name in table.refs() if name.startswith("hour-")]
    ask(f"DELETE FROM {TABLE}")

    outcome = only(maintain.maintain(limited(declared), [TABLE]))

    assert outcome.after.snapshots == 2
    assert ask(f"SELECT count(*) FROM {TABLE}") == [[0]]
    assert ask(f"SELECT count(*) FROM {TABLE} FOR VERSION AS OF '{tag}'") == [[600]]
    with table.manage_snapshots() as change:
        change.remove_tag(tag)


def commit(catalog: Catalog, job: str, checkpoint: int) -> None:
    """What Flink's committer leaves in the summary."""
    summary = {JOB: job, OPERATOR: "sink", CHECKPOINT: str(checkpoint)}
    with (
        catalog.load_table(TABLE).transaction() as transaction,
        transaction.update_snapshot(summary).fast_append(),
    ):
        pass


def last_checkpoint(catalog: Catalog, job: str) -> str | None:
    """What Flink's committer finds, walking back through the parents as SinkUtil does."""
    table = catalog.load_table(TABLE)
    snapshot = table.current_snapshot()
    while snapshot is not None:
        if snapshot.summary and snapshot.summary[JOB] == job:
            return snapshot.summary[CHECKPOINT]
        parent = snapshot.parent_snapshot_id
        snapshot = table.metadata.snapshot_by_id(parent) if parent else None
    return None


def test_the_last_checkpoint_survives_expire_everything(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each job, under compactions, until the job may no longer come back."""
    monkeypatch.setattr(lake, "SLACK", timedelta(seconds=2))
    commit(catalog, "first", 6)
    commit(catalog, "first", 7)
    time.sleep(2.5)
    commit(catalog, "second", 3)
    ask(f"ALTER TABLE {TABLE} EXECUTE optimize")
    ask(f"ALTER TABLE {TABLE} EXECUTE optimize_manifests")
    time.sleep(2.5)

    both = only(maintain.maintain(limited(declared), [TABLE]))
    found = {job: last_checkpoint(catalog, job) for job in ("first", "second")}
    forgotten = EVERYTHING.model_copy(update={"recovery_hours": 1e-6})
    one = only(maintain.maintain(limited(declared, forgotten), [TABLE]))

    assert found == {"first": "7", "second": "3"}
    assert both.after.snapshots < both.before.snapshots
    assert last_checkpoint(catalog, "first") is None
    assert last_checkpoint(catalog, "second") == "3"
    assert one.after.snapshots < both.after.snapshots


def test_carried_markers_let_the_snapshots_before_go(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped job keeps its checkpoint, but neither history nor small files for it."""
    monkeypatch.setattr(lake, "SLACK", timedelta(seconds=2))
    monkeypatch.setattr(lake, "_NEAR", 3)
    small = files(catalog)
    commit(catalog, "stopped", 7)
    for number in range(20):
        commit(catalog, "running", number)
    ask(f"ALTER TABLE {TABLE} EXECUTE optimize")
    time.sleep(2.5)

    outcome = only(maintain.maintain(limited(declared), [TABLE]))
    time.sleep(2.5)
    commit(catalog, "running", 20)
    only(maintain.maintain(limited(declared), [TABLE]))

    assert "of Flink's markers" in ", ".join(outcome.done)
    assert last_checkpoint(catalog, "stopped") == "7"
    assert last_checkpoint(catalog, "running") == "20"
    assert len(catalog.load_table(TABLE).metadata.snapshots) < 10
    assert not any(file.exists() for file in small)
    assert ask(f"SELECT count(*) FROM {TABLE}") == [[600]]


def test_old_orphans_go_and_nothing_else(
    quotes: None, declared: Settings, catalog: Catalog, ask: Ask
) -> None:
    """Neither a fresh file, as Flink has before it commits, nor an old one that is referred to."""
    limits = MaintainSettings(recovery_hours=20, orphan_hours=24)
    (used, *_) = files(catalog)
    metadata = used.parents[2] / "metadata"
    old = [used.with_name("old.parquet"), metadata / "old-00000-flink.avro"]
    young = [used.with_name("young.parquet"), metadata / "young-00000-flink.avro"]
    for file in (*old, *young):
        file.write_bytes(b"not committed")
    for hours, found in ((24.5, [*old, used]), (23.5, young)):
        moment = time.time() - hours * 3600
        for file in found:
            os.utime(file, (moment, moment))

    only(maintain.maintain(limited(declared, limits), [TABLE], orphans=False))
    spared = [file.exists() for file in old]
    only(maintain.maintain(limited(declared, limits), [TABLE]))

    assert spared == [True, True]
    assert [file.exists() for file in (*old, *young, used)] == [False, False, True, True, True]
    assert ask(f"SELECT count(*) FROM {TABLE}") == [[600]]
    for file in young:
        file.unlink()


def test_tables_that_are_merged_into_wait_for_a_transformation(
    declared: Settings, catalog: Catalog, ask: Ask
) -> None:
    """A table that is not declared, without partitions, by its own sort order."""
    ask("CREATE SCHEMA lake.maintained")
    ask("CREATE TABLE lake.maintained.words (word varchar) WITH (sorted_by = ARRAY['word'])")
    for words in ("('b'), ('d')", "('a'), ('e')", "('c'), ('f')"):
        ask(f"INSERT INTO lake.maintained.words VALUES {words}")
    name = ["maintained.words"]
    lock = declared.local.home / "run" / "transform.lock"
    lock.parent.mkdir(exist_ok=True)
    try:
        with lock.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (busy,) = maintain.maintain(limited(declared), name)
        spared = len(files(catalog, *name))
        free = only(maintain.maintain(limited(declared), name))

        (file,) = files(catalog, *name)
        assert spared == 3
        assert "`ticklake transform` is running" in busy.skipped[0]
        assert free.after.files == 1
        assert parquet.ParquetFile(file).read()["word"].to_pylist() == list("abcdef")
    finally:
        ask("DROP TABLE lake.maintained.words")
        ask("DROP SCHEMA lake.maintained")
