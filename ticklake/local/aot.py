"""Halve the time that servers take to start: Java's ahead-of-time cache of loaded classes.

The first orderly stop of a server writes what it had loaded; later starts, also
those of other homes, read it. A cache that is missing or does not fit only means a slower start.
"""

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from ticklake.local import jvm
from ticklake.settings import LocalSettings

# an orderly stop lasts longer when the cache is written; on a busy machine much longer
WRITING_SECONDS = 120.0
# hundreds of warnings about classes that are not cached would bury a server's own log
_LOG = "-Xlog:aot*=error"
# Classes only. With the profiles of methods that Java 25 keeps beside them a compiler thread of
# Trino crashed in a long test run (ciReceiverTypeData::translate_receiver_data_from).
_NO_PROFILES = (
    "-XX:+UnlockDiagnosticVMOptions",
    "-XX:-AOTRecordTraining",
    "-XX:-AOTReplayTraining",
)
_STALE = 3600.0
_INPUT = "-XX:AOTCache="
_OUTPUT = "-XX:AOTCacheOutput="


def options(
    local: LocalSettings, name: str, classpath: Sequence[Path], flags: Sequence[str]
) -> tuple[str, ...]:
    """The JVM option that reads the server's cache, or else the one that will write it.

    Args:
        local: names the cache folder, and the home that tells two writers apart.
        name: the server.
        classpath: its jars; the JVM refuses a cache that was made with others.
        flags: its other JVM options; a cache depends on some of them.
    """
    if not local.fast_start:
        return ()
    folder = local.cache.expanduser().resolve() / "aot"
    folder.mkdir(parents=True, exist_ok=True)
    mark = hashlib.sha256("\0".join([str(jvm.java_home()), *_NO_PROFILES, *flags]).encode())
    for jar in classpath:
        found = jar.stat()
        mark.update(f"{jar} {found.st_size} {found.st_mtime_ns}\0".encode())
    ready = folder / f"{name}-{mark.hexdigest()[:12]}.aot"
    if ready.exists():
        return (_LOG, *_NO_PROFILES, f"{_INPUT}{ready}")
    home = hashlib.sha256(str(local.home).encode()).hexdigest()[:8]
    return (_LOG, *_NO_PROFILES, f"{_OUTPUT}{ready}.{home}")


def drop(passing_options: Sequence[str]) -> bool:
    """Remove the cache that a server was started with; whether there was one."""
    for word in passing_options:
        if word.startswith(_INPUT):
            Path(word.removeprefix(_INPUT)).unlink(missing_ok=True)
            return True
    return False


def output_of(process: psutil.Process) -> Path | None:
    """The file that the running server will write when it stops."""
    for word in process.cmdline():
        if word.startswith(_OUTPUT):
            return Path(word.removeprefix(_OUTPUT))
    return None


def settle(output: Path, *, whole: bool) -> None:
    """After the stop: put the written cache in its place, or remove a part of one."""
    output.with_name(f"{output.name}.config").unlink(missing_ok=True)
    if not whole or not output.exists():
        output.unlink(missing_ok=True)
        return
    ready = output.with_suffix("")
    output.replace(ready)
    name = ready.name.rpartition("-")[0]
    for other in ready.parent.glob(f"{name}-*"):
        # those of older jars, and what a killed writer left; not what another home writes now
        unfinished = other.suffix != ".aot"
        if other != ready and not (unfinished and time.time() - other.stat().st_mtime < _STALE):
            other.unlink(missing_ok=True)
