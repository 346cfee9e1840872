"""The job `ticks`: market.ticks.v1 into bronze, and into bars of 5 seconds."""

from dataclasses import dataclass

from connectors.events import CLOCK, Bar5s, Tick
from connectors.stream import Column, columns
from flink_jobs.job import Job


@dataclass(frozen=True)
class _Ticks(Job):
    def values(self) -> dict[str, str]:
        return {
            **super().values(),
            "clock": CLOCK,
            "bar5s_text": ", ".join(_on_the_wire(column) for column in columns(Bar5s)),
        }


def _on_the_wire(column: Column) -> str:
    if column.type.startswith("decimal"):
        return f"CAST(`{column.name}` AS STRING)"
    if column.type == "timestamptz":
        return f"DATE_FORMAT(`{column.name}`, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS''Z''')"
    return f"`{column.name}`"


JOB = _Ticks(
    name="ticks",
    doc="trades, quotes and heartbeats into bronze, and bars of 5 seconds",
    events=(Tick,),
    makes=(Bar5s,),
)
