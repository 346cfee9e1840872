"""`ticklake apply`: topics, tables and views as they are declared."""

import json
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from connectors.change import Change


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(apply)


def apply(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Create or widen Kafka's topics, the bronze tables and views, as connectors/events.py says.

    Shows what will change, then changes it. Running it again does nothing. Nothing is ever
    deleted, renamed or narrowed: such a difference is refused, and then nothing at all is
    changed (exit code 2). A server that does not answer is exit code 3.
    """
    from connectors import kafka  # noqa: PLC0415 - slow, and not needed for --help
    from connectors.change import require_none_refused  # noqa: PLC0415 - the same
    from iceberg_catalog import apply as lake  # noqa: PLC0415 - the same
    from iceberg_catalog.catalog import connect, faults  # noqa: PLC0415 - the same
    from iceberg_catalog.tables import tables  # noqa: PLC0415 - the same
    from ticklake import views  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    declared = tables()
    topic_changes = kafka.plan(settings.kafka)
    with faults(settings.catalog), closing(connect(settings.catalog)) as catalog:
        table_changes = lake.plan(catalog, declared)
    view_changes = views.plan(settings)
    changes = [*topic_changes, *table_changes, *view_changes]
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], indent=2))
    else:
        _show(changes)
    require_none_refused(changes)
    if dry_run or not changes:
        return
    kafka.apply(settings.kafka, topic_changes)
    with faults(settings.catalog), closing(connect(settings.catalog)) as catalog:
        lake.apply(catalog, declared, table_changes)
    views.apply(settings, view_changes)
    console.step(f"applied {len(changes)} changes")


def _show(changes: "list[Change]") -> None:
    if not changes:
        console.step("topics, tables and views are as declared")
        return
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    styles = {"create": "green", "change": "yellow", "refuse": "red"}
    table = Table("action", "what", "detail", box=None, pad_edge=False)
    for change in changes:
        style = styles[change.action]
        table.add_row(change.action, change.target, escape(change.detail), style=style)
    console.out.print(table)
