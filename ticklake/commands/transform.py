"""`ticklake transform`: silver and gold from bronze."""

import json
import shlex
from dataclasses import asdict
from typing import Annotated

import typer

from ticklake import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(transform)


def transform(
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Up to this moment, not to the last 5 minutes' mark.")
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Make just this table; repeatable.")
    ] = None,
    full_refresh: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL", help="Make this model again from nothing; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    print_env: Annotated[
        bool,
        typer.Option(
            "--print-env", help="Print what the sqlmesh command needs, with its secret, and stop."
        ),
    ] = False,
) -> None:
    """Bring silver and gold up to what bronze completely holds.

    Deploys new and changed models first, then makes what is missing: every 5 minutes' interval of
    arrivals that is committed, or with --now all that is. For the sqlmesh command itself:
    eval "$(ticklake transform --print-env)", then sqlmesh -p sqlmesh ...
    """
    from ticklake.settings import load  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.sqlmesh_project import environment  # noqa: PLC0415 - the same
    from ticklake.transform import transform as run  # noqa: PLC0415 - the same

    settings = load()
    if print_env:
        for name, value in environment(settings).items():
            typer.echo(f"export {name}={shlex.quote(value)}")
        return
    report = run(
        settings,
        now=now,
        only=only or [],
        full_refresh=full_refresh or [],
        told=console.step,
    )
    if as_json:
        typer.echo(json.dumps(asdict(report), default=str, indent=2))
        return
    through = report.complete_through
    if through is None:
        console.warn("the stream has not been heard on every partition yet; bars wait for it")
    if report.late_merged:
        console.out.print(f"{report.late_merged:,} late trades merged into bronze.raw_trades")
    known = f"; bronze is complete through {through:%Y-%m-%d %H:%M:%S} UTC" if through else ""
    made = len({run.model for run in report.models})
    console.out.print(
        f"{made} models brought up to date in {report.seconds:.1f} s{known}", highlight=False
    )
