"""Folders of a stack on file systems that can be filled without harm to the machine."""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

# holds what all scenarios with several seeds write
_SIZE = "1g"


@contextmanager
def small_disks(home: Path, folders: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Each folder of the home is a link to a small file system in memory.

    Yields:
        The file system of each folder; empty where this machine does not let us mount any.
    """
    found: dict[str, Path] = {}
    with ExitStack() as undo:
        for folder in folders:
            disk = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="ticklake-disk-")))
            mount = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(disk)]
            if subprocess.run(mount, check=False, capture_output=True).returncode:
                break
            undo.callback(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
            (home / folder).parent.mkdir(parents=True, exist_ok=True)
            (home / folder).symlink_to(disk)
            found[folder] = disk
        yield found
