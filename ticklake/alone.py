"""One at a time: a lock in the home folder that dies with its process."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from connectors.errors import UnavailableError
from ticklake.settings import Settings


@contextmanager
def alone(settings: Settings, command: str, patience_seconds: float = 0) -> Iterator[None]:
    """Nobody else does what `ticklake <command>` does, as long as this lasts.

    Args:
        settings: name the home folder.
        command: what is to be done by one at a time.
        patience_seconds: how long to wait for another to end.

    Raises:
        UnavailableError: someone else does; names the process.
    """
    file = settings.local.home / "run" / f"{command}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        deadline = time.monotonic() + patience_seconds
        while not (got := _locked(lock)) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not got:
            lock.seek(0)
            raise UnavailableError(
                f"another `ticklake {command}` is running (pid {lock.read().strip() or '?'}); "
                "wait for it to end"
            )
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
