"""What a job is: the events that it reads and its SQL, made into statements for a cluster."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from string import Template

from connectors.stream import Event
from connectors.words import event_name
from flink_jobs import ddl
from flink_jobs.settings import JobSettings
from iceberg_catalog.tables import NAMESPACE, Table, tables

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """A job: `<name>.sql` beside the module that declares it.

    Attributes:
        name: what `ticklake submit` calls it, and its name on the cluster.
        doc: one line for a person.
        events: whose topics it reads; each is parsed and deduplicated once.
        dedup_hours: how long an event id is remembered; None: as the settings say.
    """

    name: str
    doc: str
    events: tuple[type[Event], ...]
    makes: tuple[type[Event], ...] = ()
    dedup_hours: float | None = None

    @property
    def group(self) -> str:
        """The consumer group under which its checkpoints commit offsets to the broker."""
        return ddl.group(self.name)

    def statements(self, settings: JobSettings) -> list[str]:
        """DDL, views and INSERTs in the order in which they are to be run."""
        lake = f"`{settings.catalog.name}`.`{NAMESPACE}`"
        found = [ddl.catalog(settings.catalog)]
        remember = timedelta(hours=self.dedup_hours or settings.flink.dedup_hours)
        found += [ddl.source(e, self.name, settings, remember) for e in self.events]
        found += [ddl.topic_sink(event, settings.kafka) for event in self.makes]
        found += [ddl.dead_letter_sink(event, settings.kafka) for event in self.events]
        for file in (f"{self.name}.sql", "common.sql"):
            found += self._filled(
                (_FOLDER / file).read_text(),
                {
                    "lake": lake,
                    "all_rejected": self._union("rejected"),
                    "all_receipts": self._union("receipts"),
                    **self.values(),
                },
            )
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
