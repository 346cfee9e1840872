"""Bring silver and gold up to what bronze completely holds."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files

from ticklake import queries
from ticklake.alone import alone
from ticklake.settings import Settings
from ticklake.sqlmesh_project import ModelRun, Project, opened

# Driven by arrivals: they may go no farther than the stream is complete. Others wait for nothing.
BARS = ["silver.market_bars_5s", "silver.market_bars"]


@dataclass(frozen=True)
class Report:
    """What one transformation did.

    Attributes:
        complete_through: every arrival before it is in bronze; None: the stream has not been heard.
        deployed: models that were new or changed, and are deployed now.
        late_merged: late trades that came into raw_trades.
    """

    complete_through: datetime | None
    deployed: list[str]
    late_merged: int
    models: list[ModelRun]
    seconds: float


def transform(  # noqa: PLR0913 - all are options of the command
    settings: Settings,
    *,
    now: bool = False,
    only: Sequence[str] = (),
    full_refresh: Sequence[str] = (),
    at: datetime | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Report:
    """Deploy changed models, merge late trades, and make what is missing.

    Args:
        settings: name the servers; `<home>` keeps the lock and the log.
        now: up to the moment that the stream is complete through, not to the last 5 minutes' mark.
        only: just these models, of those that are tables; all, if empty.
        full_refresh: models to make again from nothing.
        at: the moment taken for now; for tests.
        told: called with each line worth showing.

    Raises:
        TicklakeError: a model, an audit or the project is at fault.
        UnavailableError: a server does not answer, or another transformation is under way.
    """
    # two at once would make rows twice (SQLMesh has no lock of its own, issue 3866)
    with alone(settings, "transform"):
        return transform_alone(
            settings,
            now=now,
            full_refresh=full_refresh,
            at=at,
            told=told,
            chosen=lambda project: project.tables(only),
        )


def transform_alone(  # noqa: PLR0913 - as `transform`, and one more
    settings: Settings,
    *,
    now: bool = False,
    full_refresh: Sequence[str] = (),
    at: datetime | None = None,
    told: Callable[[str], None] = lambda _: None,
    chosen: Callable[[Project], Sequence[str]] = Project.tables,
) -> Report:
    """What `transform` does, for who is `alone` already.

    Args:
        settings: as there, like the others that are not named here.
        now: as there.
        full_refresh: as there.
        at: as there.
        told: as there.
        chosen: called first of all; the models to make. Where there are none, nothing is done.
    """
    began = time.monotonic()
    ran: list[ModelRun] = []

    def made(run: ModelRun) -> None:
        ran.append(run)
        told(_line(run))

    complete_through = _complete_through(settings)
    with opened(settings, made) as project:
        models = list(chosen(project))
        if not models:
            return Report(complete_through, [], 0, [], time.monotonic() - began)
        merged = _merge_late_trades(settings, project, complete_through)
        deployed = project.changed()
        if deployed:
            told(f"deploying {', '.join(deployed)}")
            project.deploy(at)
        if full_refresh:
            project.remake(list(full_refresh))
        if now:
            _run_now(project, models, complete_through, at or datetime.now(UTC))
        else:
            # None: the views too, whose audits look at what is new
            project.run(at, models=None if models == project.tables() else models)
    return Report(complete_through, deployed, merged, ran, time.monotonic() - began)


def _run_now(
    project: Project, models: Sequence[str], complete_through: datetime | None, moment: datetime
) -> None:
    bars = [name for name in models if name in BARS]
    if bars and complete_through is not None:
        # The state keeps milliseconds, which is what the broker's append times have.
        whole = complete_through.microsecond // 1000 * 1000
        until = complete_through.replace(microsecond=whole)
        project.run(min(until, moment), partial=True, models=bars)
    # What does not wait for the stream goes on to now.
    if others := [name for name in models if name not in BARS]:
        project.run(moment, partial=True, models=others)


def _complete_through(settings: Settings) -> datetime | None:
    rows = queries.run(settings, "SELECT complete_through FROM bronze.stream_progress").rows
    return rows[0][0].astimezone(UTC) if rows and rows[0][0] is not None else None


def _merge_late_trades(
    settings: Settings, project: Project, complete_through: datetime | None
) -> int:
    """Before the models, so that the state tells what has been merged: all before its end.

    Were it after, a run that broke off between the two would leave trades behind for good.
    """
    if complete_through is None:
        return 0
    since = project.done_through(BARS[0]) or datetime(1970, 1, 1, tzinfo=UTC)
    text = files("iceberg_catalog").joinpath("merge_late_trades.sql").read_text()
    rows = queries.run(settings, text, (since, complete_through)).rows
    return int(rows[0][0]) if rows else 0


def _line(run: ModelRun) -> str:
    rows = f", {run.rows:,} rows" if run.rows is not None else ""
    audits = f", {run.audits_passed} audits passed" if run.audits_passed else ""
    failed = f", {run.audits_failed} audits FAILED" if run.audits_failed else ""
    return f"{run.model}: {run.seconds:.1f} s{rows}{audits}{failed}"
