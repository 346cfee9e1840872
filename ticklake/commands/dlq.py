"""`ticklake dlq`: what could not be stored, why, and sending it again."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.dead_letters import Selection

Code = Annotated[str | None, typer.Option(help="Only this kind of fault, such as not_json.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Since = Annotated[
    str | None, typer.Option(help="Only what arrived since: 30m, 2h, 7d ago, or ISO-8601.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    dlq = typer.Typer(no_args_is_help=True)
    dlq.command("list")(list_groups)
    dlq.command()(show)
    dlq.command()(replay)
    app.add_typer(
        dlq,
        name="dlq",
        rich_help_panel="Events",
        help="Look at the records that broke a rule, and send them again.",
    )


def list_groups(
    *,
    code: Code = None,
    topic: Topic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by topic and fault, the newest first."""
    from ticklake import dead_letters  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    found = dead_letters.groups(load(), _selection(code, topic, since), limit)
    if as_json:
        rows = [asdict(group) for group in found]
        typer.echo(json.dumps(rows, default=lambda value: value.isoformat(), indent=2))
        return
    if not found:
        console.step("no dead letters")
        return
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table("topic", "fault", "count", "first", "last", "example", box=None, pad_edge=False)
    for group in found:
        table.add_row(
            group.topic,
            group.error_code,
            str(group.count),
            f"{group.first:%Y-%m-%d %H:%M:%S}",
            f"{group.last:%Y-%m-%d %H:%M:%S}",
            escape(group.example_id),
        )
    console.out.print(table)


def show(
    identifier: Annotated[
        str, typer.Argument(metavar="ID", help="Topic, partition and offset: market.ticks.v1:0:42.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: the fault, where it came from, and its bytes."""
    from ticklake import dead_letters  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    letter = dead_letters.one(load(), identifier)
    if as_json:
        fields = asdict(letter)
        for name in ("key", "payload"):
            content = fields.pop(name)
            fields[f"{name}_hex"] = None if content is None else content.hex()
        typer.echo(json.dumps(fields, default=lambda value: value.isoformat(), indent=2))
        return
    size = 0 if letter.payload is None else len(letter.payload)
    typer.echo(f"{letter.error_code}: {letter.error_message}")
    typer.echo(
        f"from {letter.topic}, partition {letter.partition}, offset {letter.offset}, "
        f"arrived {letter.timestamp.isoformat()}"
    )
    typer.echo(f"key: {dead_letters.readable(letter.key)}")
    typer.echo(f"{size} bytes:\n{dead_letters.readable(letter.payload)}")


def replay(  # noqa: PLR0913 - each is an option
    *,
    code: Code = None,
    topic: Topic = None,
    since: Since = None,
    identifier: Annotated[str | None, typer.Option("--id", help="Only this one.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their topic, key and bytes unchanged.

    For after the fault was repaired: in the job, or in the clock that was ahead. What is still
    bad comes back as a new dead letter; what was stored meanwhile is recognised by its event_id.
    """
    from connectors.errors import TicklakeError  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake import dead_letters  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    chosen = _selection(code, topic, since, identifier)
    count = dead_letters.count(settings, chosen)
    if count and not yes:
        if not console.err.is_terminal:
            raise TicklakeError(f"{count} dead letters would be sent again; say --yes")
        typer.confirm(f"Send {count} dead letters again?", abort=True, err=True)
    done = dead_letters.replay(settings, chosen) if count else dead_letters.Replayed()
    if as_json:
        typer.echo(json.dumps(asdict(done), indent=2))
        return
    for name, sent in sorted(done.sent.items()):
        typer.echo(f"{sent} to {name}")
    if done.empty:
        console.warn(f"{done.empty} had neither key nor value, and nothing to send")
    if not count:
        console.step("no dead letters")


def _selection(
    code: str | None, topic: str | None, since: str | None, identifier: str | None = None
) -> "Selection":
    from ticklake import dead_letters  # noqa: PLC0415 - slow, and not needed for --help

    begin = None if since is None else dead_letters.since(since)
    return dead_letters.Selection(code=code, topic=topic, since=begin, id=identifier)
