"""What people see: results on stdout, progress on stderr, bars only on a terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

# a pipe has no width: lines are not cut at 80 there
out = Console(width=None if sys.stdout.isatty() else 200)
err = Console(stderr=True, highlight=False)


def step(message: str) -> None:
    """Say on stderr what is going on."""
    err.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Say on stderr what may need attention, without stopping."""
    err.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)


class Transfers(Protocol):
    """Shows files on their way."""

    def begin(self, name: str, total: int, done: int) -> int:
        """A file starts, `done` bytes of which are here already; returns its handle."""

    def advance(self, handle: int, count: int) -> None:
        """`count` more bytes of it arrived (negative: they have to come again)."""

    def finish(self, handle: int) -> None:
        """The file is complete."""


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def begin(self, name: str, total: int, done: int) -> int:
        return self._progress.add_task(name, total=total, completed=done)

    def advance(self, handle: int, count: int) -> None:
        self._progress.advance(TaskID(handle), count)

    def finish(self, handle: int) -> None:
        self._progress.remove_task(TaskID(handle))


class _Lines:
    """One line a file: a log or a pipe has no use for bars."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def begin(self, name: str, total: int, done: int) -> int:
        kept = f", {done / 1e6:.1f} MB already here" if done else ""
        step(f"fetching {name} ({total / 1e6:.1f} MB{kept})")
        self._names.append(name)
        return len(self._names) - 1

    def advance(self, handle: int, count: int) -> None:
        """Lines show no bytes."""

    def finish(self, handle: int) -> None:
        step(f"fetched {self._names[handle]}")


@contextmanager
def transfers() -> Iterator[Transfers]:
    """Show downloads: bars on a terminal, plain lines elsewhere."""
    if not err.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        yield _Bars(progress)
