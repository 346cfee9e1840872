"""One at a time: a lock in the home folder that dies with its process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from connectors.errors import UnavailableError
from ticklake.settings import Settings


@contextmanager
def alone(settings: Settings, command: str) -> Iterator[None]:
    """Nobody else does what `ticklake <command>` does, as long as this lasts.

    Raises:
        UnavailableError: someone else does; names the process.
    """
    file = settings.local.home / "run" / f"{command}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UnavailableError(
                f"another `ticklake {command}` is running (pid {lock.read().strip() or '?'}); "
                "wait for it to end"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
