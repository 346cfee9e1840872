"""From the staged tables of a replay into bronze: what is missing, checked, in one append each."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from string import Template

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException

from connectors.errors import TicklakeError, UnavailableError
from connectors.events import CommitReceipt, DeadLetter
from flink_jobs.ddl import literal
from flink_jobs.job import Job
from iceberg_catalog import branches
from iceberg_catalog.catalog import connect, faults
from iceberg_catalog.tables import Table
from ticklake import queries
from ticklake.settings import Settings

STAGED = "replay"
"""The namespace of the staged tables."""
MAIN = "main"
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MISSING = "_missing"
_ARRIVAL = "_ingested_at"
_MOST_SPANS = 50
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Receipt:
    """What the bounded job read of a partition, and what became of it: counts of records."""

    partition: int
    first: int
    next: int
    records: int
    stored: int
    duplicates: int
    dead: int


@dataclass(frozen=True)
class Merged:
    """One bronze table: events staged, those it had already, and rows that it had not.

    `first_arrival` is the least append time of the added rows; None where none were.
    """

    table: str
    staged: int
    present: int
    added: int
    first_arrival: datetime | None


def branch_name(text: str) -> str:
    """The name, if one may be called so.

    Raises:
        TicklakeError: it is not of the form, or it is main.
    """
    if not _BRANCH.fullmatch(text) or text == MAIN:
        raise TicklakeError(
            f"{text!r} cannot be the branch; allowed are up to 64 letters, digits and . _ -, "
            f"beginning with a letter or digit, and not {MAIN}"
        )
    return text


def receipts(settings: Settings) -> list[Receipt]:
    """The staged receipts, summed by partition."""
    text = _sql("receipts", {"receipts": f"{STAGED}.commit_receipts"})
    return [Receipt(*map(int, row)) for row in queries.run(settings, text).rows]


class Merge:
    """The tables of one bounded job, from staged to bronze."""

    def __init__(self, settings: Settings, bounded: Job, branch: str | None) -> None:
        """Nothing is asked yet."""
        self._settings = settings
        self._branch = branch
        self._branched: list[str] = []
        staged = {table.name: table for table in bounded.staged() if table.event != CommitReceipt}
        # What was late goes where the merge of late trades would have put it.
        late = {t.name for t in staged.values() if t.name == t.source.late_name}
        self._sources = {
            name: [n for n in (name, table.source.late_name) if n]
            for name, table in staged.items()
            if name not in late
        }
        self._tables = {table.name: table for table in bounded.staged()}

    def staging(self) -> list[tuple[str, Table]]:
        """Names of the staged tables, each with the bronze one that it is like."""
        missing = [(name + _MISSING, self._tables[name]) for name in self._sources]
        return [*self._tables.items(), *missing]

    def check(self, counted: Sequence[Receipt]) -> list[Merged]:
        """Find what is missing, write it into the branch if there is one, and check all of it.

        Raises:
            TicklakeError: a check failed; nothing is published.
        """
        found = []
        rows = {True: 0, False: 0}
        for table in (self._tables[name] for name in self._sources):
            dead = table.event is DeadLetter
            merged, staged_rows = self._one(table)
            rows[dead] += staged_rows
            found.append(merged)
        expected = {
            False: sum(one.stored for one in counted),
            True: sum(one.dead for one in counted),
        }
        if rows != expected:
            raise self._failed(
                f"{rows[False]} rows and {rows[True]} dead letters are staged, and the receipts "
                f"say {expected[False]} and {expected[True]}"
            )
        return found

    def publish(self, merged: Merged) -> None:
        """Add the missing rows of one table to main, at once."""
        table = self._tables[merged.table]
        if self._branch is None:
            queries.run(self._settings, _sql("publish", self._names(table)))
            return
        with self._catalog(table) as catalog:
            branches.publish(catalog, table.identifier, self._branch)

    def _one(self, table: Table) -> tuple[Merged, int]:
        names = self._names(table)
        days = [row[0] for row in queries.run(self._settings, _sql("days", names)).rows]
        if not days:
            return Merged(table.name, 0, 0, 0, None), 0
        spans = _spans(days)
        values = list(_flat(spans))
        names["spans"] = " OR ".join([f'("{table.time}" >= ? AND "{table.time}" < ?)'] * len(spans))
        missing = queries.run(self._settings, _sql("missing", names), values).rows[0][0]
        on_branch = self._branch is not None and missing > 0
        if on_branch:
            self._write_branch(table)
        names["candidate"] = _sql("candidate_branch" if on_branch else "candidate", names)
        ((staged_rows, staged, added, found, events, first),) = queries.run(
            self._settings, _sql("check", names), values
        ).rows
        if not staged == found == events:
            raise self._failed(
                f"bronze.{table.name} would hold the {staged} events of the replay in {found} rows "
                f"with {events} ids"
            )
        arrived = first.astimezone(UTC) if first is not None and _arrives(table) else None
        return Merged(table.name, staged, staged - added, added, arrived), staged_rows

    def _write_branch(self, table: Table) -> None:
        branch = self._branch or MAIN
        with self._catalog(table) as catalog:
            branches.begin(catalog, table.identifier, branch)
            self._branched.append(f"bronze.{table.name}")
            source = (STAGED, table.name + _MISSING)
            branches.write(catalog, source, table.identifier, branch)

    @contextmanager
    def _catalog(self, table: Table) -> Iterator[Catalog]:
        """The catalog, for commits to that table."""
        with faults(self._settings.catalog), connect(self._settings.catalog) as catalog:
            try:
                yield catalog
            except CommitFailedException as error:
                raise UnavailableError(
                    f"bronze.{table.name} was changed by others in each of several attempts; "
                    "replay again"
                ) from error

    def _names(self, table: Table) -> dict[str, str]:
        columns = ", ".join(f'"{column.name}"' for column in table.columns)
        staged = [
            _sql("staged", {"columns": columns, "source": f"{STAGED}.{name}"})
            for name in self._sources[table.name]
        ]
        order = (_ARRIVAL, "_kafka_partition", "_kafka_offset")
        return {
            "bronze": ".".join(table.identifier),
            "missing": f"{STAGED}.{table.name}{_MISSING}",
            "staged": " UNION ALL ".join(staged),
            "columns": columns,
            "branch": literal(self._branch or MAIN),
            "time": table.time,
            "known": _ARRIVAL if _arrives(table) else table.time,
            "arrival": ", ".join(order if _arrives(table) else (f'"{table.time}"',)),
        }

    def _failed(self, what: str) -> TicklakeError:
        look = f"the staged tables {STAGED}.* stay for a look"
        if self._branched:
            version = f"FOR VERSION AS OF {literal(self._branch or MAIN)}"
            look += f", and so do the branches of {', '.join(self._branched)} ({version})"
        return TicklakeError(f"{what}; nothing was published, {look}")


def _arrives(table: Table) -> bool:
    return any(column.name == _ARRIVAL for column in table.columns)


def _sql(name: str, names: dict[str, str]) -> str:
    text = files("iceberg_catalog.replay").joinpath(f"{name}.sql").read_text()
    return Template(text.strip()).substitute(names)


def _spans(days: Sequence[date]) -> list[tuple[datetime, datetime]]:
    """Days, in order, as few stretches from and to, exclusive."""
    found: list[tuple[datetime, datetime]] = []
    for day in days:
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], begin + _DAY)
        else:
            found.append((begin, begin + _DAY))
    return found if len(found) <= _MOST_SPANS else [(found[0][0], found[-1][1])]


def _flat(spans: Sequence[tuple[datetime, datetime]]) -> Iterator[datetime]:
    for begin, end in spans:
        yield begin
        yield end
