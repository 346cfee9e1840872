"""Submit the job `ticks`, or a part of it: `python benchmarks/variant.py full|bronze|parse`."""

import sys
from dataclasses import dataclass

from flink_jobs import run
from flink_jobs.job import Job
from flink_jobs.settings import JobSettings
from flink_jobs.ticks import JOB

_NOWHERE = """
CREATE TEMPORARY TABLE nowhere (event_id STRING, price DECIMAL(18, 8), size DECIMAL(18, 8))
WITH ('connector' = 'blackhole')"""


@dataclass(frozen=True)
class _Part(Job):
    """The job's own statements without those for bars; or parse and memory of ids alone."""

    variant: str = "bronze"

    def statements(self, settings: JobSettings) -> list[str]:
        found = JOB.statements(settings)
        found = [s.replace("'partial-bars' = 'true'", "'partial-bars' = 'false'") for s in found]
        if self.variant == "bronze":
            return [s for s in found if "bars" not in s.split("\n")[0] and "topic_bar5s" not in s]
        sources = [s for s in found if s.startswith("CREATE TEMPORARY TABLE `source_")]
        return [
            *sources,
            _NOWHERE,
            "INSERT INTO nowhere SELECT event_id, price, size FROM source_tick",
        ]


def main() -> None:
    """Submit it."""
    variant = sys.argv[1]
    job = (
        JOB
        if variant == "full"
        else _Part("ticks", JOB.doc, JOB.events, JOB.makes, variant=variant)
    )
    run.submit(job, JobSettings(), None)


if __name__ == "__main__":
    main()
