"""`ticklake audit`: prove that each record is in the lake exactly once."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.audit.run import Report

_COLOURS = {"proven": "green", "difference": "red", "unknown": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(audit)


def audit(
    *,
    since: Annotated[
        str | None, typer.Option(help="Only what arrived since: 30m, 2h, 7d ago, or ISO-8601.")
    ] = None,
    topic: Annotated[str | None, typer.Option(help="Only this topic and its tables.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Prove that each record of a topic is in the lake exactly once.

    Recomputes from topics and tables what the jobs' receipts say: offsets without hole or overlap,
    counts that add up, as many rows, each event once, and each record that Kafka still has as a
    row, a dead letter or a copy. Jobs may run meanwhile: it goes up to the checkpoint before the
    newest of each job.

    Exit code 0: all proven. 1: a difference; the first one is told. 3: no difference found, but
    not all could be told, which is never taken for a proof.
    """
    from rich.progress import Progress  # noqa: PLC0415 - slow, and not needed for --help

    from ticklake import dead_letters  # noqa: PLC0415 - the same
    from ticklake.audit.run import audit as run  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    begin = None if since is None else dead_letters.since(since)
    with Progress(
        console=console.err, transient=True, disable=not console.err.is_terminal
    ) as progress:
        task = progress.add_task("auditing", total=None)

        def told(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        report = run(load(), since=begin, topic=topic, told=told)
    if as_json:
        found = asdict(report) | {"difference": report.difference, "exit_code": report.exit_code}
        typer.echo(json.dumps(found, default=str, indent=2))
    else:
        _show(report)
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def _show(report: "Report") -> None:
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    names = ("records", "stored", "late", "duplicates", "dead", "left out")
    topics = Table("topic", "partitions", *names, box=None, pad_edge=False)
    for column in topics.columns[1:]:
        column.justify = "right"
    for one in report.topics:
        counts = (one.records, one.stored, one.late, one.duplicates, one.dead)
        left = "?" if one.left_out is None else f"{one.left_out:,}"
        topics.add_row(one.topic, str(one.partitions), *(f"{n:,}" for n in counts), left)
    console.out.print(topics)
    checks = Table("check", "looked at", "seconds", "outcome", box=None, pad_edge=False)
    for check in report.checks:
        shown = f"[{_COLOURS[check.outcome]}]{check.outcome}[/]"
        checks.add_row(check.name, check.checked, f"{check.seconds:.1f}", shown)
    console.out.print(checks)
    for check in report.checks:
        if check.said is not None:
            told = f"[{_COLOURS[check.outcome]}]{check.outcome}: {escape(check.said)}[/]"
            console.out.print(told, soft_wrap=True, highlight=False)
    if any(one.left_out for one in report.topics):
        console.step("left out: records that came behind the checkpoints that all tables have")
