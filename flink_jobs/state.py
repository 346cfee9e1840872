"""Where the state of a job is kept, and the newest of it that a new start can go on from."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pyarrow import ArrowInvalid, fs

from connectors.errors import TicklakeError
from flink_jobs.settings import FlinkSettings

_METADATA = "_metadata"
# what Flink's file of a checkpoint begins with: magic number, version, number of the checkpoint
_HEADER = struct.Struct(">iiq")
_MAGIC = 0x4960672D


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint or savepoint: its number in the job's history, and when it was made."""

    number: int
    made: datetime


def checkpoints(flink: FlinkSettings, job: str) -> str:
    """URI of the folder of a job's checkpoints."""
    return f"{flink.state_dir.rstrip('/')}/checkpoints/{job}"


def savepoints(flink: FlinkSettings, job: str) -> str:
    """URI of the folder of a job's savepoints."""
    return f"{flink.state_dir.rstrip('/')}/savepoints/{job}"


def newest(flink: FlinkSettings, job: str) -> str | None:
    """URI of the newest completed checkpoint or savepoint of a job; None if it has none.

    A checkpoint is complete when its `_metadata` is written, which is its last file.
    """
    found: list[tuple[int, str]] = []
    for uri in (checkpoints(flink, job), savepoints(flink, job)):
        files, path = fs.FileSystem.from_uri(uri)
        scheme = uri[: uri.index(path)] if path in uri else ""
        chosen = fs.FileSelector(path, recursive=True, allow_not_found=True)
        found += [
            (info.mtime_ns, scheme + info.path.removesuffix(f"/{_METADATA}"))
            for info in files.get_file_info(chosen)
            if info.base_name == _METADATA
        ]
    return max(found)[1] if found else None


def same(one: str, other: str | None) -> bool:
    """Whether two URIs name one place, however they are spelt."""
    return other is not None and _plain(one) == _plain(other)


def read(uri: str) -> Checkpoint:
    """What a checkpoint or savepoint says of itself.

    Raises:
        TicklakeError: there is none, or it is not complete.
    """
    try:
        files, path = fs.FileSystem.from_uri(uri)
        file = f"{path.rstrip('/')}/{_METADATA}"
        with files.open_input_file(file) as stream:
            magic, _, number = _HEADER.unpack(stream.read(_HEADER.size))
        (info,) = files.get_file_info([file])
    except (OSError, ArrowInvalid, struct.error) as error:
        raise TicklakeError(
            f"{uri} is no complete checkpoint or savepoint: {error}; give the URI of a folder that "
            f"has a file {_METADATA}"
        ) from error
    if magic != _MAGIC:
        raise TicklakeError(f"{uri}/{_METADATA} is not a checkpoint of Flink")
    return Checkpoint(number, datetime.fromtimestamp(info.mtime_ns / 1e9, UTC))


def _plain(uri: str) -> tuple[str, str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.netloc, parts.path.rstrip("/")
