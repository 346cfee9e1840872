"""Write the plans of the jobs anew: `python -m ticklake.plans [FOLDER]`; no server is needed."""

import os
import subprocess
import sys
from pathlib import Path

from connectors.errors import TicklakeError
from ticklake.local.flink import client_environment, write_files
from ticklake.local.java import flink_extension_jar
from ticklake.settings import Settings, load


def write(settings: Settings, folder: Path) -> None:
    """Let Flink's planner explain every job into `folder`.

    Args:
        settings: name the home, where Flink's jars are linked, and the cache that has them.
        folder: gets one text file a job.

    Raises:
        TicklakeError: a job cannot be planned.
    """
    extension = flink_extension_jar(settings)
    write_files(settings, [extension] if extension else [])
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "flink_jobs.plans", str(folder)],
        env=os.environ | client_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TicklakeError(f"a job cannot be planned: {done.stderr[-2000:]}")


if __name__ == "__main__":
    target = sys.argv[1] if len(sys.argv) > 1 else Path("flink_jobs") / "plans"
    write(load(), Path(target))
