"""Keep tables quick while jobs write to them: compaction, manifests, tags, expiry, orphans.

Compaction and expiry go through Trino, which rewrites by the table's sort order and removes the
files of what it expires. What it does besides Flink's appends does not conflict with them; where a
commit of others comes between, a step is tried again, then left out and told.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table as StoredTable

from connectors.errors import TicklakeError, UnavailableError
from iceberg_catalog import maintain as lake
from iceberg_catalog.catalog import connect, faults
from iceberg_catalog.maintain import Crowded, Plan, State
from iceberg_catalog.tables import NAMESPACE
from ticklake import queries
from ticklake.alone import alone
from ticklake.settings import Settings

_ATTEMPTS = 3
_PATIENCE = "60m"  # of one statement
_NAME = re.compile(r"[a-z0-9_]+")


@dataclass
class Outcome:
    """What was done to a table, or in a dry run is to be.

    Attributes:
        table: namespace.name.
        before: state before.
        after: state after; in a dry run the same.
        done: one clause for each step.
        skipped: what was left to the next run and why; nothing is wrong.
        failed: what went wrong, and why.
    """

    table: str
    before: State
    after: State
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def maintain(
    settings: Settings,
    names: Sequence[str] = (),
    *,
    dry_run: bool = False,
    orphans: bool = True,
    told: Callable[[str], None] = lambda _: None,
) -> list[Outcome]:
    """Maintain the named tables, or all of the lake.

    Args:
        settings: name the servers and what is kept; `<home>` keeps the locks.
        names: `namespace.table`, or a table of bronze.
        dry_run: only plan.
        orphans: also look for files that no snapshot refers to; it lists all of a table's files.
        told: called with each step that starts.

    Returns:
        An outcome a table, in the order of their names.

    Raises:
        TicklakeError: there is no such table.
        UnavailableError: a server does not answer, or another `ticklake maintain` is under way.
    """
    with faults(settings.catalog), closing(connect(settings.catalog)) as catalog:
        chosen = _chosen(catalog, names)
        if dry_run:
            found = [_planned(settings, catalog, name, orphans=orphans) for name in chosen]
        else:
            with alone(settings, "maintain"):
                found = [_Table(settings, catalog, n, told).run(orphans=orphans) for n in chosen]
    return [outcome for outcome in found if outcome]


def _chosen(catalog: Catalog, names: Sequence[str]) -> list[tuple[str, str]]:
    """The allow-list of identifiers that may come into a statement: what the catalog lists."""
    known = {
        (namespace[0], name[-1])
        for namespace in catalog.list_namespaces()
        if len(namespace) == 1
        for name in catalog.list_tables(namespace)
        if _NAME.fullmatch(namespace[0]) and _NAME.fullmatch(name[-1])
    }
    if not names:
        return sorted(known)
    wanted = []
    for name in names:
        namespace, _, table = name.rpartition(".")
        identifier = (namespace or NAMESPACE, table)
        if identifier not in known:
            raise TicklakeError(
                f"the lake has no table {'.'.join(identifier)}; `ticklake maintain --dry-run` "
                "shows those that it has"
            )
        wanted.append(identifier)
    return wanted


def _planned(
    settings: Settings, catalog: Catalog, name: tuple[str, str], *, orphans: bool
) -> Outcome | None:
    try:
        table = catalog.load_table(name)
    except NoSuchTableError:
        return None
    plan = lake.plan(table, datetime.now(UTC), settings.maintain)
    outcome = Outcome(".".join(name), plan.state, plan.state)
    outcome.done = [
        f"compact {one.files:,} small files{_of(one)}"
        for one in lake.crowded(table, settings.maintain)
    ]
    if (count := lake.manifests(table)) >= settings.maintain.manifests:
        outcome.done.append(f"rewrite {count:,} manifests")
    outcome.done += _tagged(plan)
    if plan.expiring:
        outcome.done.append(f"expire {plan.expiring:,} snapshots")
    if orphans:
        outcome.done.append(f"remove orphans older than {settings.maintain.orphan_hours:g} h")
    return outcome


class _Table:
    """One table on its way through all steps."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        name: tuple[str, str],
        told: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._limits = settings.maintain
        self._catalog = catalog
        self._name = name
        self._title = ".".join(name)
        self._told = told
        lake_name = settings.catalog.name
        self._target = ".".join(f'"{part}"' for part in (lake_name, *name))
        self._session = {
            "query_max_run_time": _PATIENCE,
            f"{lake_name}.sorted_writing_enabled": "true",
            f"{lake_name}.target_max_file_size": f"{self._limits.target_file_mb}MB",
            f"{lake_name}.expire_snapshots_min_retention": "0s",
            f"{lake_name}.remove_orphan_files_min_retention": "0s",
        }

    def run(self, *, orphans: bool) -> Outcome | None:
        """All steps; None if the table is gone by now."""
        try:
            began = lake.state(self._load())
            self._outcome = Outcome(self._title, began, began)
            self._compact()
            self._rewrite_manifests()
            self._expire()
            if orphans:
                self._remove_orphans()
            self._outcome.after = lake.state(self._load())
        except NoSuchTableError:
            return None
        return self._outcome

    def _compact(self) -> None:
        crowded = lake.crowded(self._load(), self._limits)
        if not crowded:
            return
        with self._not_while_transforming() as free:
            limit = f"optimize(file_size_threshold => '{self._limits.small_file_mb}MB')"
            for one in crowded if free else ():
                what = f"compact {one.files:,} small files{_of(one)}"
                self._execute(what, limit + _where(one))

    @contextmanager
    def _not_while_transforming(self) -> Iterator[bool]:
        """Silver and gold are merged into, and a merge fails when its files are rewritten."""
        if self._name[0] == NAMESPACE:  # only appended to
            yield True
            return
        try:
            with alone(self._settings, "transform"):
                yield True
        except UnavailableError as error:
            self._outcome.skipped.append(f"compaction: {error}")
            yield False

    def _rewrite_manifests(self) -> None:
        count = lake.manifests(self._load())
        if count >= self._limits.manifests:
            self._execute(f"rewrite {count:,} manifests", "optimize_manifests")

    def _expire(self) -> None:
        now = datetime.now(UTC)
        before = lake.plan(self._load(), now, self._limits)
        missed = lake.settle(self._catalog, self._name, now, self._limits)
        self._outcome.skipped += missed
        if not missed:
            self._outcome.done += _tagged(before)
        if count := lake.plan(self._load(), self._now(), self._limits).expiring:
            self._execute(f"expire {count:,} snapshots", self._expiry)

    def _expiry(self) -> str:
        now = self._now()
        plan = lake.plan(self._load(), now, self._limits)
        age = now - datetime.fromtimestamp(plan.keep_from / 1000, UTC)
        return f"expire_snapshots(retention_threshold => '{_ms(age)}ms')"

    def _remove_orphans(self) -> None:
        age = timedelta(hours=self._limits.orphan_hours)
        self._execute(
            f"remove orphans older than {self._limits.orphan_hours:g} h",
            f"remove_orphan_files(retention_threshold => '{_ms(age)}ms')",
        )

    def _load(self) -> StoredTable:
        return self._catalog.load_table(self._name)

    def _now(self) -> datetime:
        """Trino's clock, by which it reckons ages."""
        found: datetime = queries.run(self._settings, "SELECT current_timestamp(3)").rows[0][0]
        return found.astimezone(UTC)

    def _execute(self, what: str, procedure: str | Callable[[], str]) -> None:
        """One procedure of Trino; a conflict is tried again, then left to the next run."""
        self._told(f"{self._title}: {what}")
        for number in range(1, _ATTEMPTS + 1):
            text = procedure if isinstance(procedure, str) else procedure()
            statement = f"ALTER TABLE {self._target} EXECUTE {text}"
            try:
                queries.run(self._settings, statement, session=self._session)
            except queries.ConflictError as error:
                if number == _ATTEMPTS:
                    self._outcome.skipped.append(f"{what}: {_ATTEMPTS} attempts; {error}")
                    return
                time.sleep(number)
            except TicklakeError as error:
                if _is_silent(error):
                    raise
                self._outcome.failed.append(f"{what}: {error}")
                return
            else:
                self._outcome.done.append(what)
                return


def _is_silent(error: TicklakeError) -> bool:
    """Whether Trino does not answer at all: then no other step can be done."""
    return isinstance(error, UnavailableError) and not isinstance(error, queries.UnfinishedError)


def _tagged(plan: Plan) -> list[str]:
    counts = {
        "make {} tags": len(plan.create),
        "drop {} tags": len(plan.drop),
        "carry {} of Flink's markers": len(plan.carry),
    }
    return [text.format(count) for text, count in counts.items() if count]


def _of(one: Crowded) -> str:
    return f" of {one.begin:%Y-%m-%d}" if one.column else ""


def _where(one: Crowded) -> str:
    # Trino binds no values in ALTER TABLE; column and times come from the catalog
    if one.column is None:
        return ""
    begin, end = (f"TIMESTAMP '{t:%Y-%m-%d %H:%M:%S} UTC'" for t in (one.begin, one.end))
    column = '"' + one.column.replace('"', '""') + '"'
    return f" WHERE {column} >= {begin} AND {column} < {end}"


def _ms(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
