"""SQLMesh's project in `sqlmesh/`, opened quietly: environment, log, faults as one line."""

import logging
import os
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from connectors.errors import TicklakeError, UnavailableError
from ticklake import queries
from ticklake.settings import Settings

if TYPE_CHECKING:
    from sqlmesh import Context
    from sqlmesh.core.snapshot import Snapshot

FOLDER = Path(__file__).parents[1] / "sqlmesh"
_PREFIX = "TICKLAKE_SQLMESH_"
_STATE_DATABASE = "sqlmesh"
_UNREACHABLE = {"OperationalError", "TrinoConnectionError", "ConnectionError", "HttpError"}
# From the tables' metadata: the same of the column itself would read all of it.
_FIRST_ARRIVAL = " UNION ALL ".join(
    f'SELECT min(data._ingested_at.min) FROM bronze."{table}$partitions"'  # noqa: S608 - ours
    for table in ("raw_trades", "late_trades", "feed_heartbeats")
)


@dataclass(frozen=True)
class ModelRun:
    """One model, made for a stretch of arrivals."""

    model: str
    seconds: float
    audits_passed: int
    audits_failed: int
    rows: int | None


def environment(settings: Settings, start: str | None = None) -> dict[str, str]:
    """What `sqlmesh/config.yaml` reads from the environment; it holds a secret.

    Variables of these names that are set already win, so a deployment can give its own.

    Args:
        settings: name the servers.
        start: the day that intervals begin on; the one before the first arrival, if not given.

    Raises:
        TicklakeError: it is not known where SQLMesh keeps its state.
        UnavailableError: Trino does not answer.
    """
    trino = settings.trino
    found = {
        "TRINO_HOST": trino.host,
        "TRINO_PORT": str(trino.port),
        "TRINO_USER": trino.user,
        "TRINO_SCHEME": trino.http_scheme,
        "CATALOG": settings.catalog.name,
        "CACHE": str(settings.local.home / "sqlmesh-cache"),
        **_state(settings),
    }
    named = {f"{_PREFIX}{name}": value for name, value in found.items()}
    named = {name: os.environ.get(name, value) for name, value in named.items()}
    begin = f"{_PREFIX}START"
    named[begin] = start or os.environ.get(begin) or _first_day(settings)
    return named


def _state(settings: Settings) -> dict[str, str]:
    """SQLMesh's own database beside the catalog's, on the same server."""
    catalog = settings.catalog
    if catalog.kind != "jdbc":
        names = [f"{_PREFIX}STATE_{n}" for n in ("HOST", "PORT", "USER", "PASSWORD")]
        if missing := [name for name in names if name not in os.environ]:
            raise TicklakeError(
                f"SQLMesh needs a PostgreSQL for its state, and the catalog is {catalog.kind}; "
                f"set {', '.join(missing)}"
            )
        return {}
    address = urlsplit(catalog.uri)
    return {
        "STATE_HOST": address.hostname or "127.0.0.1",
        "STATE_PORT": str(address.port or 5432),
        "STATE_USER": catalog.user,
        "STATE_PASSWORD": catalog.password.get_secret_value(),
        "STATE_DATABASE": _STATE_DATABASE,
    }


def _first_day(settings: Settings) -> str:
    """The day before the first arrival in bronze.

    Views have hourly intervals and are made with their first whole one; on the day itself there is
    none before one o'clock, when the tables that read them have some already.
    """
    rows = queries.run(settings, _FIRST_ARRIVAL).rows
    moments = [row[0] for row in rows if row[0] is not None]
    first: datetime = min(moments) if moments else datetime.now(UTC)
    return (first.astimezone(UTC).date() - timedelta(days=1)).isoformat()


@contextmanager
def opened(
    settings: Settings, told: Callable[[ModelRun], None], start: str | None = None
) -> Iterator["Project"]:
    """The loaded project; what SQLMesh says goes to `<home>/logs/sqlmesh.log`.

    Args:
        settings: name the servers.
        told: called after each model.
        start: the day that intervals begin on; the one before the first arrival, if not given.

    Raises:
        TicklakeError: the project, a model or an audit is at fault.
        UnavailableError: a server does not answer.
    """
    if not (FOLDER / "config.yaml").is_file():
        raise TicklakeError(f"there is no SQLMesh project in {FOLDER}; run from a checkout")
    given = environment(settings, start)
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    # One process loads the few models as fast as several, and forks no threads away.
    os.environ.setdefault("MAX_FORK_WORKERS", "1")
    log = settings.local.home / "logs" / "sqlmesh.log"
    failures: list[BaseException] = []
    try:
        with _logged_to(log), _one_line(log, failures), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLMesh's own libraries; none is ours to act on
            context = _context(failures, told)
            try:
                yield Project(context)
            finally:
                context.close()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _context(failures: list[BaseException], told: Callable[[ModelRun], None]) -> "Context":
    # SQLMesh takes seconds to import; --help and --print-env do without it
    from sqlmesh import Context  # noqa: PLC0415
    from sqlmesh.core.console import NoopConsole, set_console  # noqa: PLC0415

    class Quiet(NoopConsole):
        """Passes on what a person wants to know, and drops the rest."""

        def log_failed_models(self, errors: list[Any]) -> None:
            failures.extend(errors)

        def update_snapshot_evaluation_progress(  # noqa: PLR0913, PLR0917 - the library's signature
            self,
            snapshot: Any,  # noqa: ANN401 - the library's own
            interval: Any,  # noqa: ANN401, ARG002 - the library's own
            batch_idx: int,  # noqa: ARG002 - the library's signature
            duration_ms: int | None,
            num_audits_passed: int,
            num_audits_failed: int,
            audit_only: bool = False,  # noqa: ARG002, FBT001, FBT002 - the library's signature
            execution_stats: Any = None,  # noqa: ANN401 - the library's own
            auto_restatement_triggers: Any = None,  # noqa: ANN401, ARG002 - the library's own
        ) -> None:
            if duration_ms is None:
                return
            rows = getattr(execution_stats, "total_rows_processed", None)
            told(
                ModelRun(
                    model=snapshot.node.name,
                    seconds=duration_ms / 1000,
                    audits_passed=num_audits_passed,
                    audits_failed=num_audits_failed,
                    rows=rows,
                )
            )

    set_console(Quiet())
    return Context(paths=str(FOLDER))


class Project:
    """What `ticklake transform` asks of SQLMesh."""

    def __init__(self, context: "Context") -> None:
        """Wrap the loaded context."""
        self._context = context

    def changed(self) -> list[str]:
        """Models that differ from what is deployed; all of them before the first plan."""
        from sqlmesh.core.context_diff import ContextDiff  # noqa: PLC0415 - slow to import

        difference: ContextDiff = (
            self._context.plan_builder("prod", skip_tests=True).build().context_diff
        )
        if not difference.has_changes and not difference.is_new_environment:
            return []
        names = {s.name for s in difference.added} | set(difference.modified_snapshots)
        names |= {s.name for s in difference.removed_snapshots}
        models = self._context.models
        return sorted(
            models[name].name if name in models else name.replace('"', "")
            for name in names
            if name not in models or not models[name].kind.is_external
        ) or ["metadata"]

    def tables(self, only: Collection[str] = ()) -> list[str]:
        """Models that are tables; a view shows what is new by itself.

        Args:
            only: just these of them; all, if empty.

        Raises:
            TicklakeError: one of them is none.
        """
        models = self._context.models.values()
        known = sorted(model.name for model in models if model.kind.is_materialized)
        if unknown := [name for name in only if name not in known]:
            raise TicklakeError(f"no table is made by {unknown[0]!r}; there are {', '.join(known)}")
        return [name for name in known if name in only or not only]

    def built_on(self, bronze: Collection[str]) -> list[str]:
        """Models that are tables, and read one of these bronze tables, directly or not."""
        models = self._context.models.values()
        return sorted(
            model.name
            for model in models
            if model.kind.is_materialized and self._bronze_below(model.fqn) & set(bronze)
        )

    def _bronze_below(self, name: str) -> set[str]:
        below = (one.replace('"', "").split(".") for one in self._context.dag.upstream(name))
        return {parts[-1] for parts in below if parts[-2:-1] == ["bronze"]}

    def columns(self) -> dict[str, dict[str, str]]:
        """Columns and Trino types of each model."""
        return {
            model.name: {
                column: kind.sql("trino").lower()
                for column, kind in (model.columns_to_types or {}).items()
            }
            for model in self._context.models.values()
        }

    def deploy(self, at: datetime | None) -> None:
        """Plan and apply what changed, and make what is missing up to the last whole interval."""
        self._context.plan(
            "prod", skip_tests=True, no_prompts=True, auto_apply=True, execution_time=at
        )

    def remake(self, models: list[str]) -> None:
        """Make models again from nothing, and all that is built on them."""
        own = self._context.models.values()
        known = {model.name for model in own if not model.kind.is_external}
        if unknown := [name for name in models if name not in known]:
            raise TicklakeError(
                f"there is no model {unknown[0]!r}; there are {', '.join(sorted(known))}"
            )
        self._context.plan(
            "prod", skip_tests=True, no_prompts=True, auto_apply=True, restate_models=models
        )

    def run(
        self,
        until: datetime | None = None,
        *,
        partial: bool = False,
        models: list[str] | None = None,
    ) -> None:
        """Make what is missing; with `partial` up to `until` exactly, not to a whole interval.

        The end of a part is kept in the state to the millisecond, and the next run reads its
        interval again from the beginning: nothing is missed and nothing counted twice.
        """
        status = self._context.run(
            "prod",
            end=until,
            execution_time=until,
            ignore_cron=partial,
            select_models=models,
            no_auto_upstream=models is not None,
            skip_janitor=True,
        )
        if status.is_failure:
            raise TicklakeError("a model failed")

    def redo(self, arrivals: Mapping[str, datetime]) -> list[str]:
        """Forget that models have processed arrivals, so that the next run does it again.

        A restatement would make these models from nothing and lose their revisions. Here only the
        intervals go, up to the newest: a later run looks at all that is known by then, so that no
        bar goes back to what it was. The next run has to be one up to `complete_through`.

        Args:
            arrivals: for bronze tables, the first arrival that is new to them.

        Returns:
            The models that are built on these tables, and have been made.
        """
        found = []
        for snapshot in self._deployed():
            if not snapshot.intervals or not snapshot.model.kind.is_incremental:
                continue
            below = self._bronze_below(snapshot.name)
            moments = [moment for table, moment in arrivals.items() if table in below]
            if not moments:
                continue
            unit = snapshot.node.interval_unit.milliseconds
            first, last = snapshot.intervals[0][0], snapshot.intervals[-1][1]
            begin = int(min(moments).timestamp() * 1000) // unit * unit
            # Without any interval the table would be replaced; a millisecond is not a whole one.
            begin = max(begin, first + 1)
            if begin < last:
                self._context.state_sync.remove_intervals([(snapshot, (begin, last))])
                found.append(snapshot.node.name)
        return sorted(found)

    def done_through(self, model: str) -> datetime | None:
        """The end of the newest interval of arrivals that is in the model."""
        ends = [
            s.intervals[-1][1] for s in self._deployed() if s.node.name == model and s.intervals
        ]
        return datetime.fromtimestamp(max(ends) / 1000, UTC) if ends else None

    def _deployed(self) -> list["Snapshot"]:
        environment = self._context.state_reader.get_environment("prod")
        if environment is None:
            return []
        found = self._context.state_reader.get_snapshots(environment.snapshots).values()
        return [snapshot for snapshot in found if snapshot.is_model]


@contextmanager
def _logged_to(file: Path) -> Iterator[None]:
    """Keep SQLMesh's log, 10 MB at most, and nothing of it on the terminal."""
    from logging.handlers import RotatingFileHandler  # noqa: PLC0415 - only here

    file.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(file, maxBytes=10 << 20, backupCount=1, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger = logging.getLogger("sqlmesh")
    level, passed_on = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(level)
        logger.propagate = passed_on


@contextmanager
def _one_line(log: Path, failures: list[BaseException]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, TicklakeError) and not failures:
            raise
        raise _told(failures[0] if failures else error, log) from error


def _told(error: BaseException, log: Path) -> TicklakeError:
    """The innermost cause, in one line, with the model that it struck."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause not in chain:
        chain.append(cause)
    model = getattr(getattr(error, "node", None), "snapshot_name", "").replace('"', "")
    where = f"{model}: " if model else ""
    for one in chain:
        if type(one).__name__ == "NodeAuditsErrors":
            found: Any = one
            failed = ", ".join(f"{a.audit_name} ({a.count} rows)" for a in found.errors)
            return TicklakeError(f"{where}audit failed: {failed}; the rows are named in {log}")
    names = {kind.__name__ for one in chain for kind in type(one).__mro__}
    told = next((getattr(e, "message", None) or str(e) for e in reversed(chain) if str(e)), "")
    line = " ".join(str(told).split())[:400] or type(error).__name__
    if names & _UNREACHABLE:
        return UnavailableError(f"{where}a server does not answer: {line}; see `ticklake status`")
    return TicklakeError(f"{where}{line}; more in {log}")
