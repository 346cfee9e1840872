"""`ticklake publish`: a file of events into its Kafka topic."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.publish import Published


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Events")(publish)


def publish(
    file: Annotated[Path, typer.Argument(help="One JSON object a line; may be gzipped.")],
    *,
    event: Annotated[
        str, typer.Option(help="What each line is: tick, candle, ai_decision, ...")
    ] = "tick",
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Pace by event time, this many times real time."),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Nothing follows: close every window of the file.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Send a file of events to their topic, each checked against its declaration.

    The whole file is checked first: a bad line is named and nothing is sent (exit code 2). A
    timestamp is ISO-8601 with a zone, or epoch milliseconds as a number; a decimal is a number or
    a text, kept exactly. Sending a file twice is harmless: an event_id counts once.
    """
    from rich.progress import Progress  # noqa: PLC0415 - slow, and not needed for --help

    from connectors.errors import TicklakeError  # noqa: PLC0415 - the same
    from connectors.events import Tick  # noqa: PLC0415 - the same
    from connectors.kafka import Publisher  # noqa: PLC0415 - the same
    from connectors.ndjson import event_type  # noqa: PLC0415 - the same
    from connectors.progress import await_read  # noqa: PLC0415 - the same
    from flink_jobs.run import job  # noqa: PLC0415 - the same
    from ticklake.publish import Clock, Published, Sender, checked  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings, clock = load(), Clock()
    began = clock.monotonic()
    if final and event_type(event) is not Tick:
        raise TicklakeError(f"--final closes the windows of ticks; {event} has no windows")

    def read() -> bool:
        return await_read(settings.kafka, job("ticks").group, Tick.stream.topic or "")

    with checked(file, event) as found:
        begun = clock.monotonic()
        with Publisher(settings.kafka) as publisher:
            sender = Sender(publisher, speed, clock)
            with Progress(
                console=console.err, transient=True, disable=not console.err.is_terminal
            ) as progress:
                task = progress.add_task(f"publishing {file.name}", total=found.count)
                for count in sender.send(found):
                    progress.update(task, completed=count)
            took = clock.monotonic() - begun
            done = Published(
                event=event,
                topic=found.event.stream.topic or "",
                records=found.count,
                check_seconds=round(begun - began, 3),
                seconds=round(took, 3),
                per_second=round(found.count / took, 1) if took else 0.0,
                first_event_time=found.first,
                last_event_time=found.last,
            )
            if final:
                console.step("closing the last windows")
                if not sender.close(found, settings.flink, read):
                    console.warn(
                        "no checkpoint has read it yet: `ticklake jobs` tells whether ticks runs; "
                        "the windows close when it has come so far"
                    )
    done = replace(done, clock_beats=sender.beats)
    if as_json:
        typer.echo(json.dumps(asdict(done), default=lambda value: value.isoformat(), indent=2))
    else:
        _show(done)


def _show(done: "Published") -> None:
    span = "the file is empty"
    if done.first_event_time is not None and done.last_event_time is not None:
        span = f"from {done.first_event_time.isoformat()} to {done.last_event_time.isoformat()}"
    console.out.print(
        f"{done.records} {done.event} records to {done.topic} in {done.seconds:.1f} s "
        f"({done.per_second:,.0f}/s, checked in {done.check_seconds:.1f} s), {span}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )
    if done.clock_beats:
        console.step(f"{done.clock_beats} clock heartbeats beside them")
