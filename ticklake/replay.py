"""Read a piece of a topic again, by the SQL of its job, and add to bronze what is missing there.

Run once or five times, the content is the same: rows are staged, compared with bronze by event_id,
checked, and only what bronze has not is appended.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from connectors import held, progress
from connectors.errors import TicklakeError, UnavailableError
from flink_jobs.cluster import Cluster, ClusterJob
from flink_jobs.job import Bounds, Job
from flink_jobs.run import jobs
from flink_jobs.settings import JobSettings
from iceberg_catalog import staging
from iceberg_catalog.catalog import connect, faults
from ticklake.alone import alone
from ticklake.local.flink import client_environment
from ticklake.replay_merge import STAGED, Merge, Merged, Receipt, receipts
from ticklake.replay_ranges import Offsets, Range, Times, resolve
from ticklake.settings import Settings
from ticklake.sqlmesh_project import Project
from ticklake.transform import transform_alone

_PATIENCE_SECONDS = 600


@dataclass(frozen=True)
class Replayed:
    """What a replay did.

    Attributes:
        ranges: what was read, by partition.
        receipts: what the job says it read, and what became of it.
        tables: what was added, by table; none where nothing was to be read.
        silver: models that process the added rows' arrivals again.
    """

    topic: str
    job: str
    branch: str | None
    ranges: list[Range]
    receipts: list[Receipt]
    tables: list[Merged]
    silver: list[str]
    seconds: float

    @property
    def added(self) -> int:
        """Rows that came into bronze."""
        return sum(one.added for one in self.tables)


def reader(topic: str) -> Job:
    """The job that reads a topic.

    Raises:
        TicklakeError: none does.
    """
    read = {e.stream.topic: one for one in jobs().values() for e in one.events}
    if topic not in read:
        names = ", ".join(sorted(name for name in read if name))
        raise TicklakeError(f"no job reads the topic {topic}; these are read: {names}")
    return read[topic]


def replay(
    settings: Settings,
    topic: str,
    wanted: Times | Offsets,
    branch: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """Replay a piece of a topic.

    Args:
        settings: name the servers; `<home>` keeps the locks.
        topic: one that a job reads.
        wanted: the piece.
        branch: write into this branch of each table first, and check there.
        told: called with each line worth showing.

    Raises:
        TicklakeError: the piece is not to be had, the job failed, or a check failed; nothing is
            added then.
        UnavailableError: a server does not answer, the topic's job does not run, or another replay
            is under way.
    """
    began = time.monotonic()
    live = reader(topic)
    with alone(settings, "replay"):
        cluster = Cluster(
            JobSettings(kafka=settings.kafka, catalog=settings.catalog, flink=settings.flink)
        )
        moments = (wanted.start, wanted.end) if isinstance(wanted, Times) else ()
        found = held.look(settings.kafka, topic, moments)
        running = _running(cluster, live)
        committed = progress.committed(settings.kafka, live.group, topic)
        seen = cluster.newest_checkpoint(running)
        ranges = resolve(topic, wanted, found, committed)
        for one in ranges:
            told(f"{topic} {one.line()}")
        read = [one for one in ranges if one.records]
        if not read:
            return Replayed(topic, live.name, branch, ranges, [], [], [], time.monotonic() - began)
        bounded = live.bounded(_bounds(topic, read))
        merge = Merge(settings, bounded, branch)
        _stage(settings, cluster, live, bounded, told)
        counted = receipts(settings)
        _require_all_read(read, counted)
        # What was committed to the broker is in the tables by the job's next checkpoint.
        cluster.await_checkpoint(running, seen)
        with alone(settings, "transform", _PATIENCE_SECONDS):
            tables = merge.check(counted)
            silver = _publish(settings, merge, tables, told)
        with faults(settings.catalog), connect(settings.catalog) as catalog:
            staging.drop(catalog, STAGED, [name for name, _ in merge.staging()])
    return Replayed(
        topic, live.name, branch, ranges, counted, tables, silver, time.monotonic() - began
    )


def _running(cluster: Cluster, live: Job) -> ClusterJob:
    """Only while it runs can it tell what it has stored: a dead one may have commits left."""
    try:
        return cluster.running(live.name)
    except UnavailableError:
        raise
    except TicklakeError as error:
        raise UnavailableError(
            f"job {live.name} does not run, and only it can tell what it has stored already; "
            f"start it by `ticklake submit {live.name}`, then replay"
        ) from error


def _bounds(topic: str, read: Sequence[Range]) -> Bounds:
    start = {one.partition: one.start for one in read}
    return Bounds(topic, start, {one.partition: one.end for one in read}, STAGED)


def _stage(
    settings: Settings, cluster: Cluster, live: Job, bounded: Job, told: Callable[[str], None]
) -> None:
    """Run the job over the piece, into tables made anew."""
    bounds = bounded.bounds
    assert bounds is not None  # noqa: S101 - for the type checker
    with faults(settings.catalog), connect(settings.catalog) as catalog:
        staging.renew(catalog, STAGED, Merge(settings, bounded, None).staging())

    def left() -> int:
        """Nothing of a former replay counts: any change is progress."""
        read = progress.committed(settings.kafka, bounded.group, bounds.topic)
        return sum(max(0, end - read.get(p, 0)) for p, end in bounds.end.items())

    told(f"reading them by {bounded.name}")
    ran = cluster.run(live.name, bounds, client_environment(settings), left)
    told(f"{bounded.name} has ended after {ran.duration_ms / 1000:.1f} s")


def _require_all_read(read: Sequence[Range], counted: Sequence[Receipt]) -> None:
    expected = {(one.partition, one.start, one.end, one.records) for one in read}
    found = {(one.partition, one.first, one.next, one.records) for one in counted}
    if expected != found:
        raise TicklakeError(
            f"the job's receipts (partition, first, next, records) are {sorted(found)} instead of "
            f"{sorted(expected)}; nothing was added, and the staged tables {STAGED}.* "
            "stay for a look"
        )


def _publish(
    settings: Settings, merge: Merge, tables: Sequence[Merged], told: Callable[[str], None]
) -> list[str]:
    """Add what is missing, and let silver follow at once.

    Silver is told first that it has to look at these arrivals again: were it after, a replay that
    broke off in between would leave bars without their trades.
    """
    arrivals = {one.table: one.first_arrival for one in tables if one.first_arrival is not None}
    if not any(one.added for one in tables):
        return []
    redone: list[str] = []

    def publish(project: Project) -> list[str]:
        redone.extend(project.redo(arrivals))
        for one in tables:
            if one.added:
                merge.publish(one)
                told(f"{one.added:,} rows added to bronze.{one.table}")
        return project.built_on([one.table for one in tables if one.added]) if redone else []

    transform_alone(settings, now=True, told=told, chosen=publish)
    return redone
