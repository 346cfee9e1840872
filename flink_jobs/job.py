"""What a job is: the events that it reads and its SQL, made into statements for a cluster."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from string import Template

from connectors.errors import TicklakeError
from connectors.events import CommitReceipt, DeadLetter
from connectors.stream import Event
from connectors.words import event_name
from flink_jobs import ddl
from flink_jobs.settings import JobSettings
from iceberg_catalog.tables import NAMESPACE, Table, tables

_FOLDER = Path(__file__).parent
_REPLAY = "-replay"


@dataclass(frozen=True)
class Bounds:
    """A piece of one topic, and where its rows go instead of bronze.

    Attributes:
        topic: the topic.
        start: first offset by partition; only these partitions are read.
        end: offset by partition before which to end.
        namespace: of tables with the names and columns of the bronze ones.
    """

    topic: str
    start: Mapping[int, int]
    end: Mapping[int, int]
    namespace: str

    def text(self) -> str:
        """As one argument of the job's client."""
        return json.dumps(vars(self))

    @classmethod
    def parse(cls, text: str) -> "Bounds":
        """What `text` wrote."""
        found = json.loads(text)
        for name in ("start", "end"):
            found[name] = {int(partition): offset for partition, offset in found[name].items()}
        return cls(**found)


@dataclass(frozen=True)
class Job:
    """A job: `<name>.sql` beside the module that declares it.

    Attributes:
        name: what `ticklake submit` calls it, and its name on the cluster.
        doc: one line for a person.
        events: whose topics it reads; each is parsed and deduplicated once.
        makes: events that it makes, and sends to their topics.
        dedup_hours: how long an event id is remembered; None: as the settings say.
        bounds: the piece that it reads, and ends; None: all, for ever.
    """

    name: str
    doc: str
    events: tuple[type[Event], ...]
    makes: tuple[type[Event], ...] = ()
    dedup_hours: float | None = None
    bounds: Bounds | None = None

    def bounded(self, bounds: Bounds) -> "Job":
        """The same SQL over a piece of one topic, as a job of another name, group and state.

        It writes the rows, dead letters and receipts into the tables of `bounds.namespace`, and
        nothing into a topic. Bars are left out: those at the edges of a piece would be cut off.

        Raises:
            TicklakeError: the job does not read the topic.
        """
        events = tuple(e for e in self.events if e.stream.topic == bounds.topic)
        if not events:
            raise TicklakeError(f"job {self.name} does not read {bounds.topic}")
        return replace(self, name=replay_name(self.name), events=events, makes=(), bounds=bounds)

    def staged(self) -> list[Table]:
        """The tables that it writes when it is bounded."""
        kept = {*self.events, DeadLetter, CommitReceipt}
        return [stored for stored in tables() if stored.event in kept]

    @property
    def group(self) -> str:
        """The consumer group under which its checkpoints commit offsets to the broker."""
        return ddl.group(self.name)

    def statements(self, settings: JobSettings) -> list[str]:
        """DDL, views and INSERTs in the order in which they are to be run."""
        bounds = self.bounds
        lake = f"`{settings.catalog.name}`.`{bounds.namespace if bounds else NAMESPACE}`"
        found = [ddl.catalog(settings.catalog)]
        remember = timedelta(hours=self.dedup_hours or settings.flink.dedup_hours)
        piece = (bounds.start, bounds.end) if bounds else None
        found += [ddl.source(e, self.name, settings, remember, piece) for e in self.events]
        found += [ddl.topic_sink(event, settings.kafka) for event in self.makes]
        if not bounds:
            found += [ddl.dead_letter_sink(event, settings.kafka) for event in self.events]
        for file in (f"{self.name.removesuffix(_REPLAY)}.sql", "common.sql"):
            found += self._filled(
                (_FOLDER / file).read_text(),
                {
                    "lake": lake,
                    "all_rejected": self._union("rejected"),
                    "all_receipts": self._union("receipts"),
                    **self.values(),
                },
            )
        if bounds:
            kept = {f"{lake}.{stored.name}" for stored in self.staged()}
            found = [s for s in found if not s.startswith("INSERT") or s.split()[2] in kept]
        return found

    def values(self) -> dict[str, str]:
        """What `${...}` in the SQL stands for: the columns of each table, as declared."""
        return {t.name: ddl.quoted([c.name for c in t.columns]) for t in tables()}

    def _union(self, view: str) -> str:
        return "\nUNION ALL ".join(f"TABLE {view}_{event_name(e)}" for e in self.events)

    def _filled(self, text: str, values: Mapping[str, str]) -> Iterator[str]:
        for statement in split(text):
            names = set(Template(statement).get_identifiers())
            if "table" in names:
                for event, stored in self._tables():
                    yield Template(statement).substitute(values, **_of(event), **_in(stored))
            elif "event" in names:
                for event in self.events:
                    yield Template(statement).substitute(values, **_of(event))
            else:
                yield Template(statement).substitute(values)

    def _tables(self) -> Iterator[tuple[type[Event], Table]]:
        for stored in tables():
            if stored.event in self.events:
                yield stored.event, stored


def replay_name(job: str) -> str:
    """What the bounded job of a replay is called on the cluster, in its group and its receipts."""
    return job + _REPLAY


def split(text: str) -> list[str]:
    """The statements of a SQL text, without comments; a semicolon ends one at a line's end."""
    bare = re.sub(r"^\s*--.*\n", "", text, flags=re.MULTILINE)
    return [part.strip() for part in re.split(r";\s*(?:\n|$)", bare) if part.strip()]


def _of(event: type[Event]) -> dict[str, str]:
    stream = event.stream
    return {"event": event_name(event), "topic": stream.topic or "", "time": stream.time}


def _in(stored: Table) -> dict[str, str]:
    return {
        "table": stored.name,
        "columns": ddl.quoted([column.name for column in stored.columns]),
    }
