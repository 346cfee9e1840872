"""`ticklake submit`, `jobs` and `stop`: Flink jobs on the local cluster or on any other."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from flink_jobs.cluster import Cluster


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Flink jobs"
    app.command(rich_help_panel=panel)(submit)
    app.command(rich_help_panel=panel)(jobs)
    app.command(rich_help_panel=panel)(stop)


def submit(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="JOB...", help="ticks, events, or both.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All jobs that do not run yet.")] = False,
    from_savepoint: Annotated[
        str | None, typer.Option(help="URI of a savepoint or retained checkpoint to go on from.")
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh", help="Read from the beginning; for empty tables, else rows double."
        ),
    ] = False,
    rewind: Annotated[
        bool,
        typer.Option(
            "--rewind",
            help="Start from that savepoint though the lake has commits behind it: rows double, "
            "unless you removed them.",
        ),
    ] = False,
) -> None:
    """Submit jobs to the cluster and wait until they run.

    The cluster is the local one, or the one that TICKLAKE_FLINK__REST_ADDRESS names. A job goes
    on from its newest checkpoint or savepoint; one that never ran reads its topics from the
    beginning.
    """
    from connectors.errors import TicklakeError  # noqa: PLC0415 - slow, not needed for --help
    from flink_jobs.run import job  # noqa: PLC0415 - the same
    from flink_jobs.run import jobs as known  # noqa: PLC0415 - the same
    from ticklake.local.flink import client_environment  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    for name in names or []:
        job(name)  # an unknown name is told before any server is asked
    if not names and not every:
        raise TicklakeError(f"name a job or say --all; the jobs are {', '.join(known())}")
    cluster = _cluster()
    running = {j.name for j in cluster.jobs() if not j.ended}
    wanted = [name for name in known() if name not in running] if every else names or []
    for name in wanted:
        console.step(f"submitting {name}")
        found = cluster.submit(
            name, client_environment(load()), from_savepoint, resume=not fresh, rewind=rewind
        )
        console.step(f"{name} runs as {found.id}")


def jobs(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show the jobs that the cluster knows, the newest first."""
    found = _cluster().jobs()
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    from rich.table import Table  # noqa: PLC0415 - slow, not needed for --help

    table = Table("job", "state", "started (UTC)", "for", "id", box=None, pad_edge=False)
    for one in found:
        started = datetime.fromtimestamp(one.started / 1000, UTC)
        table.add_row(
            one.name,
            one.state,
            f"{started:%Y-%m-%d %H:%M:%S}",
            str(timedelta(seconds=one.duration_ms // 1000)),
            one.id,
        )
    console.out.print(table)


def stop(
    name: Annotated[str, typer.Argument(metavar="JOB", help="The job's name.")],
    *,
    savepoint: Annotated[
        bool, typer.Option("--savepoint/--no-savepoint", help="Keep the state for a later start.")
    ] = True,
) -> None:
    """Stop a job; with a savepoint, its last files are committed and its state is kept."""
    location = _cluster().stop(name, savepoint=savepoint)
    if location is None:
        console.step(f"{name} was cancelled; its newest checkpoint stays")
        return
    console.step(f"{name} stopped; `ticklake submit {name}` goes on from here")
    typer.echo(location)


def _cluster() -> "Cluster":
    from flink_jobs.cluster import Cluster  # noqa: PLC0415 - slow, not needed for --help
    from flink_jobs.settings import JobSettings  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    given = load()
    return Cluster(JobSettings(kafka=given.kafka, catalog=given.catalog, flink=given.flink))
