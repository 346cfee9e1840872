"""What is tagged, kept and carried at a moment; on metadata alone, and over both catalogs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table as StoredTable
from pyiceberg.table.metadata import new_table_metadata
from pyiceberg.table.refs import SnapshotRef, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Snapshot, Summary

from iceberg_catalog import apply as lake
from iceberg_catalog import maintain
from iceberg_catalog.maintain import CARRIED, CHECKPOINT, JOB, OPERATOR
from iceberg_catalog.schema import partition_spec, schema, sort_order
from iceberg_catalog.settings import MaintainSettings
from iceberg_catalog.tables import table

TRADES = table("raw_trades")
NOW = datetime(2026, 11, 25, 12, 30, tzinfo=UTC)
LIMITS = MaintainSettings()
NAME = ("bronze", "raw_trades")


def flink(job: str, operator: str = "sink", checkpoint: int = 1) -> dict[str, str]:
    """The keys by which Flink's committer knows its own snapshots."""
    return {JOB: job, OPERATOR: operator, CHECKPOINT: str(checkpoint)}


def stored(
    history: list[tuple[timedelta, Mapping[str, str]]], tags: Mapping[str, int] | None = None
) -> StoredTable:
    """A table whose n-th snapshot (from 1) is of that age at NOW, with that in its summary."""
    fields = schema(TRADES)
    metadata = new_table_metadata(
        fields, partition_spec(TRADES, fields), sort_order(TRADES, fields), "file:///nowhere"
    )
    snapshots = [
        Snapshot(
            snapshot_id=number,
            parent_snapshot_id=number - 1 or None,
            sequence_number=number,
            timestamp_ms=int((NOW - age).timestamp() * 1000),
            manifest_list=f"file:///nowhere/{number}.avro",
            summary=Summary(Operation.APPEND, **summary),
        )
        for number, (age, summary) in enumerate(history, start=1)
    ]
    refs = {
        name: SnapshotRef(snapshot_id=n, snapshot_ref_type=SnapshotRefType.TAG)
        for name, n in (tags or {}).items()
    }
    refs["main"] = SnapshotRef(snapshot_id=len(snapshots), snapshot_ref_type=SnapshotRefType.BRANCH)
    changed = metadata.model_copy(
        update={"snapshots": snapshots, "current_snapshot_id": len(snapshots), "refs": refs}
    )
    return StoredTable(NAME, changed, "file:///nowhere", PyArrowFileIO(), NoopCatalog("none"))


def kept(table: StoredTable, limits: MaintainSettings = LIMITS) -> list[int]:
    """Snapshots that expiry leaves, as Iceberg does it: the walk, then what tags hold."""
    plan = maintain.plan(table, NOW, limits)
    walk = []
    for snapshot in reversed(table.metadata.snapshots):
        if walk and snapshot.timestamp_ms < plan.keep_from:
            break
        walk.append(snapshot.snapshot_id)
    held = {r.snapshot_id for n, r in table.metadata.refs.items() if n not in plan.drop}
    found = sorted({*walk, *held, *plan.create.values()})
    assert len(table.metadata.snapshots) - len(found) == plan.expiring
    return found


def hours(count: float) -> timedelta:
    """So long ago."""
    return timedelta(hours=count)


def test_each_hour_and_day_that_is_over_gets_its_newest_snapshot() -> None:
    """The hour and the day that go on get none; past 48 hours only the day is tagged."""
    history = [(hours(age), {}) for age in (60, 59, 26, 2, 1.75, 1.6, 0.6, 0.25)]

    found = maintain.plan(stored(history), NOW, LIMITS).create

    assert found == {
        "day-2026-11-23": 2,
        "day-2026-11-24": 3,
        "hour-2026-11-24T10": 3,
        "hour-2026-11-25T10": 6,
        "hour-2026-11-25T11": 7,
    }


def test_an_hour_is_over_a_minute_after_its_end() -> None:
    """A commit under way may still come into it."""
    table = stored([(timedelta(minutes=31), {})])

    early = maintain.plan(table, NOW.replace(minute=0, second=59), LIMITS).create
    late = maintain.plan(table, NOW.replace(minute=1), LIMITS).create

    assert early == {}
    assert late == {"hour-2026-11-25T11": 1}


def test_tags_past_their_age_go_others_stay() -> None:
    """By the moment they stand for; what people named themselves is theirs."""
    tags = {
        "hour-2026-11-23T11": 1,  # ended 48.5 hours ago
        "hour-2026-11-23T12": 1,
        "day-2026-08-26": 1,  # ended 90.5 days ago
        "day-2026-08-27": 1,
        "audit-2025": 1,
    }

    plan = maintain.plan(stored([(hours(2000), {}), (hours(0), {})], tags), NOW, LIMITS)

    assert sorted(plan.drop) == ["day-2026-08-26", "hour-2026-11-23T11"]


def test_snapshots_without_a_tag_go_after_an_hour() -> None:
    """What is tagged in the same run stays too."""
    history = [(hours(age), {}) for age in (1.8, 1.7, 1.6, 0.9, 0.1)]

    assert kept(stored(history, {"audit-2025": 1})) == [1, 3, 4, 5]


def test_the_newest_marker_stays_at_any_age_and_the_way_to_it() -> None:
    """A job that was stopped for a year, with compactions on top."""
    history = [(hours(9000 - n), flink("a", checkpoint=n)) for n in range(3)]
    history += [(hours(8000), {}), (hours(7000), {}), (hours(1), {})]
    none = LIMITS.model_copy(update={"hourly_tag_hours": 0, "daily_tag_days": 0})

    assert kept(stored(history), none) == [3, 4, 5, 6]


def test_a_clock_that_was_behind_does_not_cut_the_way() -> None:
    """Expiry stops at the first snapshot that is too old, wherever it lies."""
    history = [(hours(5), flink("a")), (hours(5.01), {}), (hours(3), {})]
    none = LIMITS.model_copy(update={"hourly_tag_hours": 0, "daily_tag_days": 0})

    assert kept(stored(history), none) == [1, 2, 3]


def test_every_job_that_may_come_back_keeps_its_marker() -> None:
    """Until recovery_hours have gone by since it committed; others write on meanwhile."""
    history = [
        (hours(200), flink("gone")),
        (hours(100), flink("a", "x")),
        (hours(99), flink("a", "y")),
        (hours(98), flink("b", "x")),
        (hours(2), flink("b", "x")),
        (hours(0), flink("b", "x")),
    ]
    none = LIMITS.model_copy(update={"hourly_tag_hours": 0, "daily_tag_days": 0})

    assert kept(stored(history), none) == [2, 3, 4, 5, 6]


def test_a_marker_far_back_is_carried_by_when_flink_committed_it() -> None:
    """Carrying it again does not make it younger."""
    old = flink("a", checkpoint=7) | {CARRIED: str(int((NOW - hours(150)).timestamp() * 1000))}
    history = [(hours(3), old), *[(hours(2), flink("b", checkpoint=n)) for n in range(300)]]
    later = LIMITS.model_copy(update={"recovery_hours": 149})

    (found,) = maintain.plan(stored(history), NOW, LIMITS).carry

    assert found.summary == flink("a", checkpoint=7)
    assert str(found.committed) == old[CARRIED]
    assert maintain.plan(stored(history), NOW, later).carry == []


def test_a_marker_near_the_newest_snapshot_is_not_carried() -> None:
    """A stack that stands still gets no commits."""
    history = [(hours(3), flink("a")), *[(hours(2), flink("b")) for _ in range(100)]]

    assert maintain.plan(stored(history), NOW, LIMITS).carry == []


def commit(catalog: Catalog, summary: Mapping[str, str]) -> None:
    """An empty commit with that in its summary."""
    with (
        catalog.load_table(NAME).transaction() as transaction,
        transaction.update_snapshot(dict(summary)).fast_append(),
    ):
        pass


@pytest.fixture
def busy(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """Job `a` committed once, then job `b` often."""
    monkeypatch.setattr(maintain, "_NEAR", 3)
    lake.apply(catalog, [TRADES], lake.plan(catalog, [TRADES]))
    commit(catalog, flink("a", checkpoint=7))
    for number in range(5):
        commit(catalog, flink("b", checkpoint=number))
    return catalog


def last_checkpoint(table: StoredTable, job: str) -> str | None:
    """What Flink's committer finds: walking back through the parents, as SinkUtil does."""
    snapshot = table.current_snapshot()
    while snapshot is not None:
        if snapshot.summary and snapshot.summary[JOB] == job:
            return snapshot.summary[CHECKPOINT]
        parent = snapshot.parent_snapshot_id
        snapshot = table.metadata.snapshot_by_id(parent) if parent else None
    return None


def test_settling_carries_and_tags_and_is_done_then(busy: Catalog) -> None:
    """In the catalog; a second time changes nothing."""
    now = datetime.now(UTC) + hours(3)

    missed = maintain.settle(busy, NAME, now, LIMITS)
    first = busy.load_table(NAME)
    maintain.settle(busy, NAME, now, LIMITS)

    again = busy.load_table(NAME)
    newest = again.current_snapshot()
    assert missed == []
    assert newest
    assert newest.summary
    assert {k: newest.summary[k] for k in (JOB, OPERATOR, CHECKPOINT)} == flink("a", checkpoint=7)
    assert newest.summary[CARRIED]
    assert {last_checkpoint(again, job) for job in "ab"} == {"7", "4"}
    assert [name for name in again.refs() if name.startswith("hour-")]
    assert again.metadata_location == first.metadata_location


def test_a_marker_is_not_carried_over_a_newer_commit(busy: Catalog) -> None:
    """The job came back and committed between looking and carrying: its own marker counts."""
    seen = busy.load_table(NAME)
    commit(busy, flink("a", checkpoint=8))

    with pytest.raises(CommitFailedException):
        maintain.carry(seen, datetime.now(UTC) + hours(3), LIMITS)

    assert last_checkpoint(busy.load_table(NAME), "a") == "8"


def test_settling_gives_up_after_some_attempts(
    busy: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was missed is told, not raised."""

    def faster(*_: object) -> None:
        raise CommitFailedException("others were faster")

    monkeypatch.setattr(maintain, "_set_tags", faster)
    monkeypatch.setattr(maintain.time, "sleep", lambda _: None)

    missed = maintain.settle(busy, NAME, datetime.now(UTC), LIMITS)

    assert missed == ["tags: others committed in each of 8 attempts"]
