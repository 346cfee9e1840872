"""What a table needs to stay quick, and the part of it that is Iceberg alone: tags and markers.

Flink's committer, when a job is restored, walks from the table's newest snapshot back through the
parents until one names its job and operator; its checkpoint is the last that is in the table. If
the walk ends without one, the job commits again, and rows are stored twice. Such a snapshot is
called a marker here. Expiry keeps all from the newest snapshot back to every marker that a job may
still need. Where that would keep too many, the marker is carried: an empty commit on top repeats
it. That is safe at any moment, for it is committed only if the newest snapshot is still the one
that the marker was found from.
"""

import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException
from pyiceberg.table import Table as StoredTable
from pyiceberg.table import TableProperties
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.types import TimestamptzType

from iceberg_catalog.settings import MaintainSettings

JOB = "flink.job-id"
OPERATOR = "flink.operator-id"
CHECKPOINT = "flink.max-committed-checkpoint-id"
CARRIED = "ticklake.carried-ms"
"""On a carried marker: when Flink committed it, epoch ms."""

# An engine's expiry takes a duration and reckons from its own start: one that starts later than
# planned must not expire more than was planned. Between asking for the time and the start there
# are three requests, each of 60 s at most.
SLACK = timedelta(minutes=5)

_ATTEMPTS = 8
_NEAR = 100  # snapshots; a marker that is no farther back is not worth a commit
_GRACE = timedelta(minutes=1)  # a commit may take that long, and clocks may differ by as much
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TAG = re.compile(r"hour-\d{4}-\d\d-\d\dT\d\d|day-\d{4}-\d\d-\d\d")
_MB = 1024 * 1024


@dataclass(frozen=True)
class State:
    """A table as its newest snapshot and its metadata say."""

    files: int
    bytes: int
    snapshots: int
    tags: int


@dataclass(frozen=True)
class Crowded:
    """A partition with many small files.

    Attributes:
        column: the time column with `begin` <= column < `end`; None: the table as a whole.
        files: small data files and delete files in it.
    """

    column: str | None
    begin: datetime
    end: datetime
    files: int
    bytes: int


@dataclass(frozen=True)
class Marker:
    """The newest snapshot of a job's sink in the table's history.

    Attributes:
        distance: snapshots between it and the newest one.
        at: the snapshot's time, epoch ms.
        committed: when Flink committed it, epoch ms; earlier than `at` where it was carried.
        summary: the keys that Flink looks for.
    """

    snapshot_id: int
    distance: int
    at: int
    committed: int
    summary: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """What a table needs at one moment.

    Attributes:
        create: tags to make, name to snapshot.
        drop: tags past their age.
        carry: markers to repeat on top, so that what lies before can go.
        keep_from: epoch ms; snapshots before it go, if no tag or branch holds them.
        expiring: how many these are.
    """

    state: State
    create: dict[str, int]
    drop: list[str]
    carry: list[Marker]
    keep_from: int
    expiring: int


def plan(table: StoredTable, now: datetime, settings: MaintainSettings) -> Plan:
    """Tags and snapshots to make, keep and drop at the moment `now`; reads metadata only."""
    chain = list(_chain(table))
    moment = _ms(now)
    recent = moment - _hours(settings.snapshot_hours)
    needed = _needed(chain, moment, settings)
    refs = table.metadata.refs
    wanted = _tags(chain, now, settings)
    ours = [n for n, r in refs.items() if _is_tag(r.snapshot_ref_type) and _TAG.fullmatch(n)]
    drop = [name for name in ours if _ends(name) + _age(name, settings) <= now]
    create = {name: number for name, number in wanted.items() if name not in refs}
    keep_from = min(recent, _oldest_needed(chain, needed, moment)) - _whole_ms(SLACK)
    held = {ref.snapshot_id for name, ref in refs.items() if name not in drop}
    held |= set(create.values()) | _kept(chain, keep_from)
    return Plan(
        state=state(table),
        create=create,
        drop=drop,
        carry=[m for m in needed[1:] if m.at < recent and m.distance > _NEAR],
        keep_from=keep_from,
        expiring=sum(s.snapshot_id not in held for s in table.metadata.snapshots),
    )


def state(table: StoredTable) -> State:
    """Counts for people; reads metadata only."""
    newest = table.current_snapshot()
    summary = newest.summary if newest else None
    refs = table.metadata.refs.values()
    return State(
        files=int((summary and summary["total-data-files"]) or 0),
        bytes=int((summary and summary["total-files-size"]) or 0),
        snapshots=len(table.metadata.snapshots),
        tags=sum(_is_tag(ref.snapshot_ref_type) for ref in refs),
    )


def manifests(table: StoredTable) -> int:
    """How many manifests the newest snapshot has."""
    newest = table.current_snapshot()
    return len(newest.manifests(table.io)) if newest else 0


def crowded(table: StoredTable, settings: MaintainSettings) -> list[Crowded]:
    """Partitions with at least `settings.small_files` small files, oldest first.

    Reads the manifests of the newest snapshot. A table that is not partitioned by day or month of
    one timestamptz column counts as a whole as soon as one of its partitions is crowded.
    """
    newest = table.current_snapshot()
    limit = settings.small_file_mb * _MB
    small: dict[tuple[int, tuple[object, ...]], list[int]] = defaultdict(list)
    for manifest in newest.manifests(table.io) if newest else ():
        for entry in manifest.fetch_manifest_entry(table.io):
            file = entry.data_file
            if file.file_size_in_bytes < limit:
                values = file.partition
                place = tuple(values[n] for n in range(len(values)))
                small[manifest.partition_spec_id, place].append(file.file_size_in_bytes)
    full = {k: sizes for k, sizes in small.items() if len(sizes) >= settings.small_files}
    ranges = {place: _range(table, *place) for place in full}
    if None in ranges.values():
        files, size = sum(map(len, full.values())), sum(map(sum, full.values()))
        return [Crowded(None, _EPOCH, _EPOCH, files, size)]
    found = [
        Crowded(*where, len(full[place]), sum(full[place]))
        for place, where in ranges.items()
        if where
    ]
    return sorted(found, key=lambda one: one.begin)


def settle(
    catalog: Catalog, name: tuple[str, ...], now: datetime, settings: MaintainSettings
) -> list[str]:
    """Make and drop tags, carry markers; each a commit that is tried again when others are faster.

    Returns:
        What could not be done, one sentence each. Nothing is wrong then: expiry keeps more.
    """
    missed = []
    if not _retried(lambda: _set_tags(catalog.load_table(name), now, settings)):
        missed.append(f"tags: others committed in each of {_ATTEMPTS} attempts")
    if not _retried(lambda: carry(catalog.load_table(name), now, settings)):
        missed.append(f"carrying Flink's markers: others committed in each of {_ATTEMPTS} attempts")
    return missed


def carry(table: StoredTable, now: datetime, settings: MaintainSettings) -> None:
    """Repeat the markers that lie far back, on top of the snapshot that `table` was loaded with.

    Raises:
        CommitFailedException: the table has a newer snapshot by now; nothing was committed.
    """
    found = plan(table, now, settings).carry
    if not found:
        return
    # PyIceberg would try again on top of what came between, be it a newer checkpoint of that job:
    # the older one would hide it, and a restored job would commit rows a second time.
    properties = {**table.metadata.properties, TableProperties.COMMIT_NUM_RETRIES: "0"}
    metadata = table.metadata.model_copy(update={"properties": properties})
    once = StoredTable(
        table.name(), metadata, table.metadata_location, table.io, table.catalog, table.config
    )
    with once.transaction() as transaction:
        for marker in found:
            summary = {**marker.summary, CARRIED: str(marker.committed)}
            with transaction.update_snapshot(summary).fast_append():
                pass


def _set_tags(table: StoredTable, now: datetime, settings: MaintainSettings) -> None:
    found = plan(table, now, settings)
    if not found.create and not found.drop:
        return
    with table.manage_snapshots() as change:
        for name, number in found.create.items():
            change.create_tag(number, name)
        for name in found.drop:
            change.remove_tag(name)


def _retried(attempt: Callable[[], None]) -> bool:
    for number in range(_ATTEMPTS):
        try:
            attempt()
        except (CommitFailedException, CommitStateUnknownException):
            time.sleep(random.uniform(0, 0.1 * (number + 1)))  # noqa: S311 - no secret
        else:
            return True
    return False


def _chain(table: StoredTable) -> Iterator[Snapshot]:
    """The newest snapshot and its parents, as far as they are there: what Flink walks."""
    known = {s.snapshot_id: s for s in table.metadata.snapshots}
    at = table.metadata.current_snapshot_id
    while at is not None and at in known:
        yield known[at]
        at = known[at].parent_snapshot_id


def _needed(chain: list[Snapshot], moment: int, settings: MaintainSettings) -> list[Marker]:
    """The newest marker of each (job, operator), the newest first.

    The very newest is needed at any age. Another one only as long as its job may still be started
    again from its state, while others go on writing to the table.
    """
    found: dict[tuple[str, str], Marker] = {}
    for distance, snapshot in enumerate(chain):
        summary = snapshot.summary
        if summary is None or summary[JOB] is None or summary[CHECKPOINT] is None:
            continue
        kept = {key: str(summary[key]) for key in (JOB, OPERATOR, CHECKPOINT) if summary[key]}
        committed = int(summary[CARRIED] or snapshot.timestamp_ms)
        key = kept[JOB], kept.get(OPERATOR, "")
        number, at = snapshot.snapshot_id, snapshot.timestamp_ms
        found.setdefault(key, Marker(number, distance, at, committed, kept))
    since = moment - _hours(settings.recovery_hours)
    return [m for n, m in enumerate(found.values()) if n == 0 or m.committed >= since]


def _oldest_needed(chain: list[Snapshot], needed: list[Marker], moment: int) -> int:
    """The lowest time in the walk to all needed markers.

    Not the last one's: clocks of committers differ, and expiry stops at the first that is older.
    """
    reach = max((marker.distance for marker in needed), default=-1)
    return min((s.timestamp_ms for s in chain[: reach + 1]), default=moment)


def _kept(chain: list[Snapshot], keep_from: int) -> set[int]:
    """What expiry leaves of the walk: all up to the first that is too old; always the newest."""
    kept: set[int] = set()
    for snapshot in chain:
        if kept and snapshot.timestamp_ms < keep_from:
            break
        kept.add(snapshot.snapshot_id)
    return kept


def _tags(chain: list[Snapshot], now: datetime, settings: MaintainSettings) -> dict[str, int]:
    """Tag to the newest snapshot of each hour and day that is over and not past its tag's age."""
    found: dict[str, int] = {}
    for snapshot in chain:
        at = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
        for name in (f"hour-{at:%Y-%m-%dT%H}", f"day-{at:%Y-%m-%d}"):
            end = _ends(name)
            if end + _GRACE <= now < end + _age(name, settings):
                found.setdefault(name, snapshot.snapshot_id)
    return found


def _ends(tag: str) -> datetime:
    kind, _, text = tag.partition("-")
    length = timedelta(hours=1) if kind == "hour" else timedelta(days=1)
    return datetime.fromisoformat(text).replace(tzinfo=UTC) + length


def _age(tag: str, settings: MaintainSettings) -> timedelta:
    if tag.startswith("hour-"):
        return timedelta(hours=settings.hourly_tag_hours)
    return timedelta(days=settings.daily_tag_days)


def _is_tag(kind: SnapshotRefType) -> bool:
    return kind is SnapshotRefType.TAG


def _range(
    table: StoredTable, spec_id: int, partition: tuple[object, ...]
) -> tuple[str, datetime, datetime] | None:
    """Column, begin and end of a partition by day or month of a timestamptz column."""
    spec = table.spec()
    if spec.spec_id != spec_id or len(spec.fields) != 1 or not isinstance(partition[0], int):
        return None
    field, number = spec.fields[0], partition[0]
    source = table.schema().find_field(field.source_id)
    if not isinstance(source.field_type, TimestamptzType):
        return None
    if str(field.transform) == "day":
        begin = _EPOCH + timedelta(days=number)
        return source.name, begin, begin + timedelta(days=1)
    if str(field.transform) == "month":
        return source.name, _month(number), _month(number + 1)
    return None


def _month(since_epoch: int) -> datetime:
    return datetime(1970 + since_epoch // 12, since_epoch % 12 + 1, 1, tzinfo=UTC)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _hours(hours: float) -> int:
    return _whole_ms(timedelta(hours=hours))


def _whole_ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
