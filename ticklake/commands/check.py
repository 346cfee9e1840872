"""`ticklake check`: the contracts of the tables."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ticklake.checks import TableReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(check)


def check(  # noqa: PLR0913 - each is an option
    *,
    layer: Annotated[
        str | None, typer.Option(help="Only this layer: bronze, staging, silver or gold.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Only this table.")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Only rows that arrived in so many days; all, if not given."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
    report_dir: Annotated[
        Path | None,
        typer.Option(help="Where checks.json and checks.xml (JUnit) go; <home>/reports."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show Soda's own log.")] = False,
) -> None:
    """Check the tables against their contracts in soda/contracts.

    Exit code 0: all passed. 1: a check failed. 3: none failed, but not all could be determined,
    which is never taken for a pass.
    """
    from ticklake import checks  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    chosen = checks.contracts(layer, table)
    since = datetime.now(UTC) - timedelta(days=days) if days else None
    reports = []
    for report in checks.run(settings, chosen, since=since, verbose=verbose):
        console.step(
            f"{report.layer}.{report.table}: {len(report.checks)} checks in {report.seconds:.1f} s"
        )
        reports.append(report)
    files = checks.write(reports, report_dir or settings.local.home / "reports")
    if as_json:
        typer.echo(json.dumps(checks.summary(reports), default=str, indent=2))
    else:
        _show(reports)
        console.out.print(f"reports: {', '.join(map(str, files))}", soft_wrap=True)
    if code := checks.exit_code(reports):
        raise typer.Exit(code)


def _show(reports: "Sequence[TableReport]") -> None:
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    heads = ("table", "checks", "passed", "warned", "failed", "not evaluated")
    table = Table(*heads, box=None, pad_edge=False)
    for report in reports:
        unknown = report.count("not_evaluated")
        table.add_row(
            f"{report.layer}.{report.table}",
            str(len(report.checks)),
            str(report.count("passed")),
            _marked(report.count("warned"), "yellow"),
            _marked(report.count("failed"), "red"),
            _marked(unknown, "yellow") if report.checks else "[yellow]all[/]",
        )
    console.out.print(table)
    for report in reports:
        for colour, line in _lines(report):
            console.out.print(f"[{colour}]{escape(line)}[/]", soft_wrap=True)


def _lines(report: "TableReport") -> "Iterator[tuple[str, str]]":
    """What a person has to look at, with its colour."""
    name = f"{report.layer}.{report.table}"
    for error in report.errors:
        yield "yellow", f"{name}: {error}"
    if report.count("not_evaluated") == len(report.checks):
        yield "yellow", f"not evaluated: {name}: is it there? `ticklake transform` makes it"
        return
    for one in report.checks:
        if one.outcome != "passed":
            detail = ", ".join(f"{key} {value}" for key, value in one.measured.items())
            told = f"{one.outcome.replace('_', ' ')}: {name}: {one.name} ({detail})"
            yield ("red" if one.outcome == "failed" else "yellow"), told


def _marked(count: int, colour: str) -> str:
    return f"[{colour}]{count}[/]" if count else "0"
