"""Where the state of a job is kept, and the newest of it that a new start can go on from."""

from pyarrow import fs

from flink_jobs.settings import FlinkSettings


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
            (info.mtime_ns, scheme + info.path.removesuffix("/_metadata"))
            for info in files.get_file_info(chosen)
            if info.base_name == "_metadata"
        ]
    return max(found)[1] if found else None
