"""`ticklake dlq`: what could not be stored, why, and sending it again."""

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.dead_letter_replay import Replayed
    from ticklake.dead_letters import DeadLetter, Selection, Sending

Code = Annotated[str | None, typer.Option(help="Only this kind of fault, such as not_json.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Since = Annotated[
    str | None, typer.Option(help="Only what arrived since: 30m, 2h, 7d ago, or ISO-8601.")
]
Status = Annotated[
    list[str] | None,
    typer.Option(help="Only in this status, such as open; may be given more than once."),
]
Ids = Annotated[
    list[str] | None, typer.Option("--id", help="Only this one; may be given more than once.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add the commands."""
    dlq = typer.Typer(no_args_is_help=True)
    dlq.command("list")(list_groups)
    dlq.command()(show)
    dlq.command()(export)
    dlq.command()(replay)
    app.add_typer(
        dlq,
        name="dlq",
        rich_help_panel="Events",
        help="Look at the records that broke a rule, fix them, and send them again.",
    )


def list_groups(  # noqa: PLR0913 - each is an option
    *,
    code: Code = None,
    topic: Topic = None,
    since: Since = None,
    status: Status = None,
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Count dead letters by topic and fault, and what became of them, the newest first.

    open: nothing was done. parked: sent again so often that another time is refused. sent: again
    on its topic, not committed yet. failed_again: came back as a newer dead letter. replayed: its
    event is stored. duplicate: its event had been stored already.
    """
    from ticklake import dead_letters  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    found = dead_letters.groups(load(), _selection(code, topic, since, statuses=status), limit)
    if as_json:
        _print_json([asdict(group) for group in found])
        return
    if not found:
        console.step("no dead letters")
        return
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    shown = [s for s in dead_letters.STATUSES if any(group.statuses[s] for group in found)]
    table = Table("topic", "fault", "count", *shown, "last", "example", box=None, pad_edge=False)
    for group in found:
        table.add_row(
            group.topic,
            group.error_code,
            str(group.count),
            *(str(group.statuses[s] or "-") for s in shown),
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
    """Show one dead letter: the fault, where it came from, what was done, and its bytes."""
    from ticklake import dead_letters  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    letter = dead_letters.one(settings, identifier)
    history = dead_letters.history(settings, letter)
    if as_json:
        fields = asdict(letter)
        for name in ("key", "payload"):
            content = fields.pop(name)
            fields[f"{name}_hex"] = None if content is None else content.hex()
        fields["headers"] = [[name, value.hex()] for name, value in letter.headers]
        fields["history"] = [_told_json(one, sendings) for one, sendings in history]
        _print_json(fields)
        return
    size = 0 if letter.payload is None else len(letter.payload)
    typer.echo(f"{letter.error_code}: {letter.error_message}")
    typer.echo(
        f"from {letter.topic}, partition {letter.partition}, offset {letter.offset}, "
        f"arrived {letter.timestamp.isoformat()}"
    )
    typer.echo(f"status: {_outcome(letter)}")
    for one, sendings in history:
        for line in _told(one, sendings):
            typer.echo(f"  {line}")
    for name, value in letter.headers:
        typer.echo(f"header {dead_letters.readable(name.encode())}: {dead_letters.readable(value)}")
    typer.echo(f"key: {dead_letters.readable(letter.key)}")
    typer.echo(f"{size} bytes:\n{dead_letters.readable(letter.payload)}")


def export(
    *,
    code: Code = None,
    topic: Topic = None,
    since: Since = None,
    identifier: Ids = None,
    status: Status = None,
) -> None:
    """Write dead letters as lines to edit, for `dlq replay --fix`; open and parked ones by default.

    Each line has id, error and payload: the event as it was sent. Correct the payload and delete
    the lines that are not to be sent. Where the value was no JSON object, payload is null and the
    value stands beside it, as text or hex. To a file: ticklake dlq export > fix.ndjson
    """
    from ticklake import dead_letters, fixes  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    statuses = status or ["open", "parked"]
    chosen = _selection(code, topic, since, identifier, statuses)
    count = 0
    for letter in dead_letters.letters(load(), chosen):
        typer.echo(fixes.line(letter))
        count += 1
    console.step(f"{count} dead letters")


def replay(  # noqa: PLR0913 - each is an option
    *,
    code: Code = None,
    topic: Topic = None,
    since: Since = None,
    identifier: Ids = None,
    fix: Annotated[
        Path | None,
        typer.Option(
            help="Send the events in this file instead, one a line: "
            '{"id": ID, "payload": EVENT}; `dlq export` writes it.'
        ),
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(min=1, help="Park what was sent again so often.")
    ] = 5,
    again: Annotated[
        bool, typer.Option("--again", help="Also what was sent and has not arrived yet.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again to their topic: key, bytes and headers unchanged, or a fix instead.

    For after the fault was repaired: in the job, in the clock that was ahead, or in the event
    itself by --fix. A file of fixes is checked whole before anything is sent. What was stored
    already is not sent; what is still bad comes back as a new dead letter, and is parked in the
    end. Each record carries the headers ticklake-dead-letter and ticklake-attempt.
    """
    from connectors.errors import TicklakeError  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake import dead_letter_replay as sending  # noqa: PLC0415 - the same
    from ticklake import fixes  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    chosen = _selection(code, topic, since, identifier)
    given = None
    if fix is not None:
        given = fixes.read(fix)
        fixes.require_same_events(settings, given, fix)
    plan = sending.plan(settings, chosen, sending.Options(max_attempts, again, given))
    if plan.count and not yes:
        if not console.err.is_terminal:
            raise TicklakeError(f"{plan.count} dead letters would be sent again; say --yes")
        typer.confirm(f"Send {plan.count} dead letters again?", abort=True, err=True)
    done = sending.replay(settings, plan)
    if as_json:
        _print_json(asdict(done))
        return
    _say(done)


def _say(done: "Replayed") -> None:
    for name, sent in sorted(done.sent.items()):
        typer.echo(f"{sent} to {name}")
    for kept in (done.parked, done.unsendable):
        for one in kept[:_SHOWN]:
            console.warn(f"not sent, {one.why}: {one.id}: {one.reason}")
        if len(kept) > _SHOWN:
            console.warn(f"and {len(kept) - _SHOWN} more; --json lists all")
    if done.parked:
        console.step("parked ones are sent by --max-attempts, above their number of attempts")
    for status, count in done.settled.items():
        console.step(f"{count} not sent: {status}")
    if not (done.sent or done.parked or done.unsendable or done.settled):
        console.step("no dead letters")


def _told(letter: "DeadLetter", sendings: "list[Sending]") -> list[str]:
    lines = [f"{letter.timestamp:%Y-%m-%d %H:%M:%S}  {letter.id} refused: {letter.error_code}"]
    for one in sendings:
        fixed = "fixed and sent" if one.fixed else "sent unchanged"
        lines.append(
            f"{one.replayed_at:%Y-%m-%d %H:%M:%S}  {fixed}, attempt {one.attempt}, to partition "
            f"{one.partition}, offset {one.offset}"
        )
    return [*lines, f"{'':19}  {_outcome(letter)}"]


def _told_json(letter: "DeadLetter", sendings: "list[Sending]") -> dict[str, Any]:
    names = ("id", "timestamp", "error_code", "attempts", "status", "newer_id", "stored_table")
    fields = asdict(letter)
    return {name: fields[name] for name in names} | {"sendings": [asdict(s) for s in sendings]}


def _outcome(letter: "DeadLetter") -> str:
    place = (
        f"bronze.{letter.stored_table}, _kafka_partition {letter.stored_partition}, "
        f"_kafka_offset {letter.stored_offset}"
    )
    return {
        "replayed": f"replayed: stored in {place}",
        "duplicate": f"duplicate: had been stored in {place}",
        "failed_again": f"failed again: {letter.newer_id}",
        "sent": "sent, not committed yet",
        "parked": f"parked after {letter.attempts} attempts",
        "open": "open",
    }[letter.status]


def _print_json(found: object) -> None:
    def text(value: object) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    typer.echo(json.dumps(found, default=text, indent=2))


def _selection(
    code: str | None,
    topic: str | None,
    since: str | None,
    ids: list[str] | None = None,
    statuses: list[str] | None = None,
) -> "Selection":
    from connectors.errors import TicklakeError  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake import dead_letters  # noqa: PLC0415 - the same

    for one in statuses or ():
        if one not in dead_letters.STATUSES:
            allowed = ", ".join(dead_letters.STATUSES)
            raise TicklakeError(f"--status {one!r} is none; allowed are {allowed}")
    begin = None if since is None else dead_letters.since(since)
    return dead_letters.Selection(code, topic, begin, tuple(ids or ()), tuple(statuses or ()))
