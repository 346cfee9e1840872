"""The audit: what is checked, in which order, and what it says."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from connectors.errors import TicklakeError, UnavailableError
from connectors.events import EVENTS
from connectors.reading import Reader
from connectors.stream import Event
from iceberg_catalog.tables import Table, tables
from ticklake.audit import receipts
from ticklake.audit import tables as lake
from ticklake.audit.receipts import Chain, Chains
from ticklake.audit.topics import Comparison, recorded_hole, whole
from ticklake.settings import Settings

Told = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much."""


@dataclass
class Check:
    """One check: how much it looked at, and how it ended.

    Attributes:
        name: what must hold.
        checked: what was looked at, with counts.
        said: the first difference, or why it could not be told.
    """

    name: str
    checked: str = ""
    outcome: Literal["proven", "difference", "unknown"] = "proven"
    said: str | None = None
    seconds: float = 0.0


@dataclass
class Topic:
    """The receipts of one topic, summed; `left_out` is in Kafka and not settled yet."""

    topic: str
    partitions: int
    receipts: int
    records: int
    stored: int
    late: int
    duplicates: int
    dead: int
    left_out: int | None


@dataclass
class Report:
    """What an audit found."""

    since: datetime | None
    topics: list[Topic]
    checks: list[Check] = field(default_factory=list)
    records_per_second: float | None = None

    @property
    def exit_code(self) -> int:
        """0: all proven; 1: a difference; 3: no difference, but something could not be told."""
        outcomes = {check.outcome for check in self.checks}
        return 1 if "difference" in outcomes else 3 if "unknown" in outcomes else 0

    @property
    def difference(self) -> str | None:
        """The first difference, as a sentence."""
        return next((c.said for c in self.checks if c.outcome == "difference"), None)


def audit(
    settings: Settings,
    *,
    since: datetime | None = None,
    topic: str | None = None,
    told: Told = lambda *_: None,
) -> Report:
    """Recompute from topics and tables what the receipts say, up to what is settled.

    Args:
        settings: name the servers.
        since: only what arrived from then on.
        topic: only this topic and its tables.
        told: called as it goes on.

    Raises:
        TicklakeError: no event is declared with that topic.
        UnavailableError: Trino does not answer, or no checkpoint is settled yet.
    """
    events = _events(topic)
    told("receipts", 0, 1)
    chains = receipts.load(settings, events, since)
    if not chains:
        raise UnavailableError(
            "there is no receipt of a settled checkpoint"
            + (f" since {since.isoformat()}" if since else "")
            + "; the jobs write one with each checkpoint that read something, and the newest of a "
            "job is settled by the next: `ticklake jobs` tells whether they run"
        )
    with ExitStack() as stack:
        reader: Reader | None = None
        unreadable = ""
        try:
            reader = stack.enter_context(Reader(settings.kafka))
        except UnavailableError as error:
            unreadable = str(error)
        left = {name: _left_out(reader, name, chains) for name in events}
        report = Report(since, [_topic(n, chains, left[n]) for n in events if _has(n, chains)])
        audited = _Audit(settings, report, events, chains, told)
        audited.chained(reader, unreadable)
        audited.added_up()
        audited.unique(audited.chosen(everything=topic is None))
        audited.counted()
        audited.compared(reader, unreadable)
    return report


class _Audit:
    def __init__(
        self,
        settings: Settings,
        report: Report,
        events: dict[str, type[Event]],
        chains: Chains,
        told: Told,
    ) -> None:
        self._settings = settings
        self._report = report
        self._events = events
        self._chains = chains
        self._told = told

    def chosen(self, *, everything: bool) -> list[Table]:
        """The tables whose ids must be unique: all, or those of the chosen topic's event."""
        return [t for t in tables() if everything or t.event in self._events.values()]

    def chained(self, reader: Reader | None, unreadable: str) -> None:
        with self._check("receipts follow one another") as check:
            count = sum(map(len, self._chains.values()))
            check.checked = f"{count:,} receipts of {len(self._chains)} partitions"
            missing = 0
            for chain in self._chains.values():
                holes = receipts.holes(chain)
                missing += len(holes)
                if _differs(check, receipts.overlap(chain)):
                    break
                if holes and reader and _differs(check, recorded_hole(reader, chain, holes)):
                    break
            if missing:
                check.checked += f", {missing} holes looked up in Kafka"
            if missing and reader is None and check.outcome == "proven":
                check.outcome, check.said = "unknown", unreadable

    def added_up(self) -> None:
        with self._check("receipts add up") as check:
            records = sum(r.records for chain in self._chains.values() for r in chain)
            check.checked = f"{records:,} records"
            for chain in self._chains.values():
                if _differs(check, receipts.miscounted(chain)):
                    break

    def unique(self, chosen: list[Table]) -> None:
        with self._check("each event once") as check:
            rows = 0
            for number, stored in enumerate(chosen):
                self._told(f"ids of {stored.name}", number, len(chosen))
                found = lake.twice(self._settings, stored, self._report.since)
                rows += found.rows
                if _differs(check, found.difference):
                    break
            check.checked = f"{rows:,} rows of {len(chosen)} tables"

    def counted(self) -> None:
        with self._check("rows as the receipts count") as check:
            rows = 0
            for number, (name, event) in enumerate(self._events.items()):
                self._told(f"rows of {name}", number, len(self._events))
                chains = {p: chain for (t, p), chain in self._chains.items() if t == name}
                if chains:
                    found = lake.compare(
                        self._settings, event, chains, from_start=self._report.since is None
                    )
                    rows += found.rows
                    if _differs(check, found.difference):
                        break
            check.checked = f"{rows:,} rows and dead letters"

    def compared(self, reader: Reader | None, unreadable: str) -> None:
        with self._check("records as in the topics") as check:
            if reader is None:
                check.outcome, check.said = "unknown", unreadable
                return
            began = time.monotonic()
            kept = {name: reader.kept(name) for name in self._events}
            chosen = [
                (topic, part)
                for (topic, partition), chain in self._chains.items()
                if (part := whole(chain, kept[topic].get(partition, (receipts.end(chain), 0))[0]))
            ]
            records, copies = self._walk(reader, chosen, check)
            per_second = records / max(time.monotonic() - began, 0.001)
            self._report.records_per_second = round(per_second, 1)
            check.checked = (
                f"{records:,} records ({copies:,} of them copies), {per_second:,.0f} a second"
            )
            gone = sum(map(len, self._chains.values())) - sum(len(part) for _, part in chosen)
            if gone:
                check.checked += f"; {gone:,} receipts are older than what Kafka keeps"

    def _walk(
        self, reader: Reader, chosen: list[tuple[str, Chain]], check: Check
    ) -> tuple[int, int]:
        total = sum(receipts.end(part) - part[0].first_offset for _, part in chosen)
        done = records = copies = 0
        for topic, part in chosen:
            comparison = Comparison(self._settings, reader, self._events[topic])
            for found in comparison.run(part):
                done += found.offsets
                records += found.records
                copies += found.copies
                self._told(f"{topic} partition {part[0].partition}", done, total)
                if _differs(check, found.difference):
                    return records, copies
        return records, copies

    @contextmanager
    def _check(self, name: str) -> Iterator[Check]:
        check, began = Check(name), time.monotonic()
        self._report.checks.append(check)
        try:
            yield check
        except UnavailableError as error:
            check.outcome, check.said = "unknown", str(error)
        check.seconds = round(time.monotonic() - began, 3)


def _differs(check: Check, difference: str | None) -> bool:
    if difference is not None:
        check.outcome, check.said = "difference", difference
    return difference is not None


def _events(topic: str | None) -> dict[str, type[Event]]:
    """The events that connectors send, by topic."""
    known = {
        event.stream.topic: event
        for event in EVENTS
        if event.stream.topic and event.stream.made_by == "connectors"
    }
    if topic is None:
        return known
    if topic not in known:
        raise TicklakeError(f"no event has the topic {topic!r}; the topics are {', '.join(known)}")
    return {topic: known[topic]}


def _has(topic: str, chains: Chains) -> bool:
    return any(name == topic for name, _ in chains)


def _left_out(reader: Reader | None, topic: str, chains: Chains) -> int | None:
    """Offsets in Kafka behind the newest settled receipt; None if Kafka does not say."""
    if reader is None:
        return None
    try:
        kept = reader.kept(topic)
    except UnavailableError:
        return None
    reached = {p: receipts.end(chain) for (t, p), chain in chains.items() if t == topic}
    return sum(max(0, end - max(begin, reached.get(p, 0))) for p, (begin, end) in kept.items())


def _topic(name: str, chains: Chains, left_out: int | None) -> Topic:
    found = [chain for (topic, _), chain in chains.items() if topic == name]
    every = [receipt for chain in found for receipt in chain]
    return Topic(
        topic=name,
        partitions=len(found),
        receipts=len(every),
        records=sum(r.records for r in every),
        stored=sum(r.stored for r in every),
        late=sum(r.late for r in every),
        duplicates=sum(r.duplicates for r in every),
        dead=sum(r.dead for r in every),
        left_out=left_out,
    )
