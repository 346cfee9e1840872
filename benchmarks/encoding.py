"""What another encoding of the topic could save: JSON as the job parses it, and Avro's binary form.

One thread in a warm JVM, nanoseconds of CPU a trade (java/ticklake/flink/Encoding.java). Avro's
rows are taken as they come: no check of a field, a rule or an id; its figure is a lower bound.

    python benchmarks/encoding.py [--trades 200000]
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from common import java_program
from tape import tape

from connectors.events import Tick
from flink_jobs import ddl
from ticklake.settings import load


def main() -> None:
    """Run it and print a line for each encoding."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--trades", type=int, default=200_000)
    sent = b"".join(tape(arguments.parse_args().trades, seed=1).lines())
    values = [line.split(b"\t")[2] for line in sent.splitlines() if line.endswith(b"}")]
    with tempfile.TemporaryDirectory() as folder:
        command = java_program(load(), Path(folder), "flink.Encoding", ddl.spec(Tick))
        done = subprocess.run(command, input=b"\n".join(values), check=True, stdout=-1)
    for line in done.stdout.decode().splitlines():
        name, nanoseconds, size = line.split()
        print(f"{name}: {int(nanoseconds):,} ns of CPU a trade, {size} bytes")


if __name__ == "__main__":
    main()
