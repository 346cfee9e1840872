"""`ticklake replay`: read a piece of a topic again, and add what bronze does not have."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from ticklake import console


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(replay)


def replay(  # noqa: PLR0913 - each is an option
    *,
    topic: Annotated[str, typer.Option(help="The topic, such as market.ticks.v1.")],
    begin: Annotated[
        str | None,
        typer.Option("--from", help="First arrival: 30m, 2h, 7d ago, or ISO-8601 with a zone."),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Arrival before which to end, likewise; 0s is now.")
    ] = None,
    from_offsets: Annotated[
        str | None, typer.Option(metavar="P:O,...", help="First offset by partition, instead.")
    ] = None,
    to_offsets: Annotated[
        str | None, typer.Option(metavar="P:O,...", help="Offset before which to end, likewise.")
    ] = None,
    into_branch: Annotated[
        str | None,
        typer.Option(
            metavar="BRANCH",
            help="Write into this Iceberg branch first; publish when the checks pass.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Backfill bronze from Kafka by the same SQL; what is there already is left alone.

    A piece of the topic is read again by its job, as a bounded job beside the live one, into tables
    of its own. What bronze does not have, by event_id, is checked and then added at once, and
    silver makes the bars it touches again. Once or five times: the content is the same.
    """
    from ticklake.replay import reader  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.replay import replay as run  # noqa: PLC0415 - the same
    from ticklake.replay_merge import branch_name  # noqa: PLC0415 - the same
    from ticklake.replay_ranges import asked  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    wanted = asked(begin, end, from_offsets, to_offsets, datetime.now(UTC))
    branch = None if into_branch is None else branch_name(into_branch)
    reader(topic)  # what no server is needed for is told first
    done = run(load(), topic, wanted, branch, console.step)
    if as_json:
        fields = asdict(done) | {"added": done.added}
        typer.echo(json.dumps(fields, default=lambda value: value.isoformat(), indent=2))
        return
    for one in done.tables:
        if one.staged:
            console.out.print(
                f"bronze.{one.table}: {one.staged:,} events, {one.present:,} there already, "
                f"{one.added:,} added",
                highlight=False,
            )
    read = sum(one.records for one in done.receipts)
    copies = sum(one.duplicates for one in done.receipts)
    console.out.print(
        f"{read:,} records read again, {copies:,} of them copies, {done.added:,} rows added in "
        f"{done.seconds:.1f} s",
        highlight=False,
    )
