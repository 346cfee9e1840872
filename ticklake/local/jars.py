"""The Java files of the local stack: read from the lock, fetched once, checked always."""

import fcntl
import shutil
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache as memoized
from pathlib import Path

from connectors.errors import TicklakeError
from ticklake.local.download import digest, fetch_all
from ticklake.settings import LocalSettings

LOCK_FILE = Path(__file__).with_name("jars.lock.toml")
_SPARE_BYTES = 200 << 20


@dataclass(frozen=True)
class Jar:
    """One file of a Maven repository, with the only content that is accepted for it."""

    coordinate: str
    sha256: str
    size: int
    type: str = "jar"

    @property
    def path(self) -> str:
        """Path below the repository's root, and below `<cache>/jars`."""
        group, artifact, version = self.coordinate.split(":")
        return f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.{self.type}"

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@memoized
def locked(lock_file: Path = LOCK_FILE) -> dict[str, tuple[Jar, ...]]:
    """The lock: group name to its files."""
    with lock_file.open("rb") as file:
        content = tomllib.load(file)
    return {group: tuple(Jar(**entry) for entry in jars) for group, jars in content.items()}


def location(local: LocalSettings, jar: Jar) -> Path:
    """Where the file lies in the cache, fetched or not."""
    return local.cache.expanduser().resolve() / "jars" / jar.path


def repository(local: LocalSettings) -> str:
    """The base address that files are fetched from."""
    if local.maven_url:
        return local.maven_url
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - slow, and only needed here

    return str(MAVEN_CENTRAL_URL)


def ensure(
    local: LocalSettings, *groups: str, lock_file: Path = LOCK_FILE
) -> dict[str, list[Path]]:
    """Fetch what is missing or broken of these groups.

    Args:
        local: names the cache and the repository.
        groups: names in the lock: kafka, flink, compiler, trino, rest.
        lock_file: the stack's own, or that of another program (the benchmarks' rivals).

    Returns:
        For each group, its files in the order of the lock.

    Raises:
        TicklakeError: no room, no network, or a file that is not what the lock says.
    """
    known = locked(lock_file)
    wanted = [jar for group in groups for jar in known[group]]
    with exclusive(local.cache.expanduser().resolve() / "jars"):
        missing = [jar for jar in wanted if not is_intact(jar, location(local, jar))]
        if missing:
            require_space(
                location(local, missing[0]).parent, sum(jar.size for jar in missing), "jars"
            )
            fetch_all(repository(local), [(jar, location(local, jar)) for jar in missing])
            for jar in missing:
                _remember(jar, location(local, jar))
    return {group: [location(local, jar) for jar in known[group]] for group in groups}


def is_intact(jar: Jar, file: Path) -> bool:
    """Whether the cached file is the locked one.

    The size is always compared. The content is hashed unless a mark beside the file says that
    this very file (same size and modification time) was hashed before: hashing 100 MB at each
    start would cost more than the start.
    """
    if not file.is_file() or file.stat().st_size != jar.size:
        return False
    mark = _mark(file)
    if mark.is_file() and mark.read_text() == _seal(jar, file):
        return True
    if digest(file) != jar.sha256:
        return False
    _remember(jar, file)
    return True


def require_space(folder: Path, size: int, what: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        TicklakeError: says how much is needed where.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < size + _SPARE_BYTES:
        raise TicklakeError(
            f"{what} need {(size + _SPARE_BYTES) / 1e9:.1f} GB in {folder} but only "
            f"{free / 1e9:.1f} GB are free; free some, or set TICKLAKE_LOCAL__CACHE and "
            "TICKLAKE_LOCAL__HOME to a larger disk"
        )


def unmark(files: Iterable[Path]) -> None:
    """Forget files (and remove them) that are no longer needed as such."""
    for file in files:
        file.unlink(missing_ok=True)
        _mark(file).unlink(missing_ok=True)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Two commands at once must not write one folder: the second waits for the first."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _mark(file: Path) -> Path:
    return file.with_name(f"{file.name}.ok")


def _seal(jar: Jar, file: Path) -> str:
    found = file.stat()
    return f"{jar.sha256} {found.st_size} {found.st_mtime_ns}\n"


def _remember(jar: Jar, file: Path) -> None:
    _mark(file).write_text(_seal(jar, file))
