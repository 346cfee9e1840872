"""`ticklake maintain`: compaction, tags, expiry and orphans, while the jobs go on."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.maintain import Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(maintain)


def maintain(
    *,
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE", help="Only this one, such as raw_trades; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    orphans: Annotated[
        bool, typer.Option(help="Also remove files that nothing refers to; lists all files.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Keep the lake's tables quick, while the jobs go on.

    Compacts partitions with many small files by their sort order, rewrites manifests, tags the
    end of each hour and day for time travel (... FOR VERSION AS OF 'hour-2026-11-24T05'), expires
    snapshots without a tag, and removes orphaned files. The snapshots by which a Flink job knows
    what it has committed stay. What others were faster at is left to the next run and told; the
    exit code is 3 if a step failed. What is kept how long: the settings maintain.*.
    """
    from connectors.errors import UnavailableError  # noqa: PLC0415 - slow, not needed for --help
    from ticklake.maintain import maintain as run  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    outcomes = run(load(), table or [], dry_run=dry_run, orphans=orphans, told=console.step)
    if as_json:
        typer.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=2))
    else:
        _show(outcomes)
    for outcome in outcomes:
        for reason in outcome.skipped:
            console.warn(f"{outcome.table}: skipped {reason}")
        for reason in outcome.failed:
            console.warn(f"{outcome.table}: failed to {reason}")
    if failed := [outcome.table for outcome in outcomes if outcome.failed]:
        raise UnavailableError(f"a step failed on {', '.join(failed)}; run maintain again")


def _show(outcomes: "list[Outcome]") -> None:
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    shown = Table(box=None, pad_edge=False)
    shown.add_column("table", overflow="fold")
    for name in ("files", "MB", "snapshots", "tags"):
        shown.add_column(name, justify="right")
    shown.add_column("steps", overflow="fold")
    for one in outcomes:
        old, new = one.before, one.after
        shown.add_row(
            one.table,
            _change(f"{old.files:,}", f"{new.files:,}"),
            _change(f"{old.bytes / 1e6:,.1f}", f"{new.bytes / 1e6:,.1f}"),
            _change(f"{old.snapshots:,}", f"{new.snapshots:,}"),
            _change(f"{old.tags:,}", f"{new.tags:,}"),
            escape(", ".join(one.done)),
        )
    console.out.print(shown)


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} > {after}"
