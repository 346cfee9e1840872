"""Every bronze table, as it follows from the declaration; knows no engine and no catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from connectors.events import EVENTS
from connectors.stream import BronzeTable, Column, Event, table_columns

NAMESPACE = "bronze"

PROVENANCE = (
    Column("_kafka_partition", "int", required=True, doc="partition of the topic it came from"),
    Column("_kafka_offset", "long", required=True, doc="offset in that partition"),
    Column(
        "_ingested_at",
        "timestamptz",
        required=True,
        doc="the broker's append time, UTC: when the lake could first know it",
    ),
)
_BARS_KNOWN_AT = replace(PROVENANCE[-1], doc="append time of the newest tick in the window, UTC")

# Each commit writes a new metadata file; keep few, the snapshots inside them stay.
# Streaming files are small: a small row group wastes no memory, min/max on the sort columns prunes.
PROPERTIES: Mapping[str, str] = {
    "format-version": "2",
    "write.format.default": "parquet",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-size-bytes": str(32 * 1024 * 1024),
    # ids grow by one: stored as differences they take a third less. A dictionary of what never
    # repeats is given up at 64 KB, not at 2 MB.
    "write.parquet.page-version": "v2",
    "write.parquet.dict-size-bytes": str(64 * 1024),
    "write.target-file-size-bytes": str(128 * 1024 * 1024),
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
    "write.distribution-mode": "none",
}


@dataclass(frozen=True)
class Table:
    """A table of the lake, in the vocabulary of the Iceberg specification.

    Attributes:
        event: the event that it keeps.
        source: the part of the event's declaration that it follows.
        name: name inside the namespace `bronze`.
        time: column that the day or month partition is made from.
        sort: columns of the sort order, ascending.
    """

    event: type[Event]
    source: BronzeTable
    name: str
    doc: str
    columns: tuple[Column, ...]
    time: str
    partition: Literal["day", "month"]
    sort: tuple[str, ...]
    properties: Mapping[str, str]

    @property
    def identifier(self) -> tuple[str, str]:
        """(namespace, name)."""
        return NAMESPACE, self.name


def tables() -> tuple[Table, ...]:
    """All bronze tables, in the order of their declaration."""
    return tuple(
        table for event in EVENTS for source in event.stream.tables for table in _of(event, source)
    )


def table(name: str) -> Table:
    """The table of that name.

    Raises:
        KeyError: no table of that name is declared.
    """
    return {t.name: t for t in tables()}[name]


def _of(event: type[Event], source: BronzeTable) -> list[Table]:
    stream = event.stream
    extra: tuple[Column, ...] = ()
    if stream.made_by == "connectors":
        extra = PROVENANCE
    elif stream.topic:
        extra = (_BARS_KNOWN_AT,)
    main = Table(
        event=event,
        source=source,
        name=source.name,
        doc=source.doc,
        columns=table_columns(event, source) + extra,
        time=stream.time,
        partition=source.partition,
        sort=(stream.key, stream.time),
        properties=PROPERTIES,
    )
    if source.late_name is None:
        return [main]
    late = replace(
        main,
        name=source.late_name,
        doc=f"Rows that came behind their window's close; merged into {source.name} by event_id.",
    )
    return [main, late]
