"""`ticklake up`, `down`, `status` and `logs`: the local stack."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.local.stack import Status


def register(app: typer.Typer) -> None:
    """Add the commands."""
    panel = "Local stack"
    app.command(rich_help_panel=panel)(up)
    app.command(rich_help_panel=panel)(down)
    app.command(rich_help_panel=panel)(status)
    app.command(rich_help_panel=panel)(logs)


def up() -> None:
    """Start PostgreSQL, Kafka, Flink and Trino on this machine.

    The first run fetches about 1 GB of Java files into the cache. Servers that run already are
    left alone; those that died are started again, on the data that they had. Everything listens
    on loopback only.
    """
    from ticklake.local import stack  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    began = time.monotonic()
    settings = load()
    stack.up(settings)
    console.step(f"the stack is up ({time.monotonic() - began:.1f} s)")
    _show(stack.status(settings))


def down() -> None:
    """Stop every server of the local stack; data and logs stay where they are."""
    from ticklake.local import stack  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    settings = load()
    ended = stack.down(settings)
    said = f"stopped {', '.join(ended)}" if ended else "nothing was running"
    console.step(f"{said}; the data stay in {settings.local.home}")


def status(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Show each server: its state, process, port, memory, address and log."""
    from ticklake.local import stack  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    found = stack.status(load())
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], default=str, indent=2))
    else:
        _show(found)


def logs(
    server: Annotated[
        str, typer.Argument(help="postgres, kafka, jobmanager, taskmanager or trino.")
    ],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many to show.")] = 100,
) -> None:
    """Show the end of a server's log."""
    from connectors.errors import TicklakeError  # noqa: PLC0415 - beside the others
    from ticklake.local import stack  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.local.processes import log_file, tail  # noqa: PLC0415 - the same
    from ticklake.settings import load  # noqa: PLC0415 - the same

    if server not in stack.NAMES:
        raise TicklakeError(f"there is no server {server!r}; there are {', '.join(stack.NAMES)}")
    file = log_file(load().local.home, server)
    if not file.exists():
        raise TicklakeError(f"{server} has no log at {file}; `ticklake up` starts it")
    for line in tail(file, lines):
        typer.echo(line)
    if not follow:
        return
    with file.open(errors="replace") as stream:
        stream.seek(0, 2)
        while True:
            if chunk := stream.read():
                typer.echo(chunk, nl=False)
            else:
                time.sleep(0.2)


def _show(servers: "list[Status]") -> None:
    from rich.table import Table  # noqa: PLC0415 - slow, and not needed for --help

    table = Table("server", "state", "pid", "port", "memory", "address", box=None, pad_edge=False)
    for one in servers:
        table.add_row(
            one.title,
            one.state,
            str(one.pid or "-"),
            str(one.port or "-"),
            f"{one.memory_mb:.0f} MB" if one.memory_mb else "-",
            one.address or "-",
        )
    console.out.print(table)
    used = sum(one.memory_mb or 0 for one in servers)
    console.out.print(f"{used:.0f} MB in all; logs in {servers[0].log.parent}")
