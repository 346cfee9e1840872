"""Flink DDL from the declaration: a topic as a source, a topic as a sink, the lake's catalog."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import timedelta

from connectors.settings import KafkaSettings
from connectors.stream import Column, Event, columns, table_column_names
from connectors.words import event_name
from flink_jobs.settings import JobSettings
from iceberg_catalog.settings import CatalogSettings

_TYPES = {
    "string": "STRING",
    "long": "BIGINT",
    "int": "INT",
    "boolean": "BOOLEAN",
    "timestamptz": "TIMESTAMP_LTZ(6)",
    "binary": "BYTES",
}
_LARGEST_RECORD = 1024 * 1024
_LARGEST_DEAD = 64 * _LARGEST_RECORD
WINDOW_MS = 5000
_BAR = (
    "`table` STRING, first_place STRING, last_place STRING, high DECIMAL(18, 8), "
    "low DECIMAL(18, 8), volume DECIMAL(38, 8), notional DECIMAL(38, 16), trades BIGINT, "
    "ticks BIGINT"
)
_RECEIPT = (
    "job STRING, job_id STRING, checkpoint_id BIGINT, subtask BIGINT, first_offset BIGINT, "
    "next_offset BIGINT, records BIGINT, stored BIGINT, late BIGINT, duplicates BIGINT, dead BIGINT"
)


def flink_type(column: Column) -> str:
    """The Flink SQL type of a column, without its nullability.

    Raises:
        KeyError: the type has no counterpart.
    """
    if column.type.startswith("decimal"):
        return column.type.upper()
    return _TYPES[column.type]


def quoted(names: list[str] | tuple[str, ...]) -> str:
    """A list of SQL identifiers, quoted."""
    return ", ".join(f"`{name}`" for name in names)


def literal(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def options(given: Mapping[str, str]) -> str:
    """The list in a WITH clause."""
    return ",\n  ".join(f"{literal(k)} = {literal(v)}" for k, v in given.items())


def spec(event: type[Event]) -> str:
    """The declaration of an event as the connector `ticklake` reads it (EventSpec.java)."""
    stream = event.stream
    fields = [field.name for field in dataclasses.fields(Column) if field.name != "doc"]
    names = [column.name for column in columns(event)]
    known = {t.name: {*table_column_names(event, t), stream.select} for t in stream.tables}
    return json.dumps(
        {
            "topic": stream.topic,
            "max_bytes": _LARGEST_RECORD,
            "time": stream.time,
            "select": stream.select,
            "window_ms": WINDOW_MS if _has_windows(event) else 0,
            "content": [n for n in names if not n.startswith("_") and n not in stream.varies],
            "kinds": [
                {
                    "value": table.value,
                    "table": table.name,
                    "late_table": table.late_name,
                    "required": table.required,
                    "unknown": sorted({*names} - known[table.name]),
                }
                for table in stream.tables
            ],
            "rules": stream.rules,
            "columns": [
                {f: getattr(column, f) for f in fields if getattr(column, f)}
                | {"required": column.required}
                for column in columns(event)
            ],
        },
        separators=(",", ":"),
    )


def _has_windows(event: type[Event]) -> bool:
    return any(table.late_name for table in event.stream.tables)


def source(
    event: type[Event],
    job: str,
    settings: JobSettings,
    remember: timedelta,
    piece: tuple[Mapping[int, int], Mapping[int, int]] | None = None,
) -> str:
    """The topic of an event as a table: each event once, each bad record once.

    With a `piece`, offsets by partition from and to, exclusive, it reads just these and ends.

    Columns: the event's, then what Columns.java lists. `_table` says where a row belongs: the
    event's table or that for late rows, `dead_letters`, `commit_receipts`, or `partial_bars` where
    all of a topic is read whose ticks bars are made of.
    """
    flink = settings.flink
    body = [f"`{column.name}` {flink_type(column)}" for column in columns(event)]
    body += [
        "`_table` STRING",
        "`_event_us` BIGINT",
        "`_id_hash` BIGINT",
        "`_content_hash` BIGINT",
        "`_error_code` STRING",
        "`_error_message` STRING",
        "`_key` BYTES",
        "`_payload` BYTES",
        "`_headers` MAP<STRING, BYTES>",
        "`_headers_text` STRING",
        "`_attempts` BIGINT",
        "`_kafka_partition` INT",
        "`_kafka_offset` BIGINT",
        "`_ingested_at` TIMESTAMP_LTZ(6)",
        "`_rowtime` TIMESTAMP_LTZ(3)",
        f"`_receipt` ROW<{_RECEIPT}>",
        f"`_bar` ROW<{_BAR}>",
        "WATERMARK FOR `_rowtime` AS SOURCE_WATERMARK()",
    ]
    given = {
        "connector": "ticklake",
        "job": job,
        "properties.bootstrap.servers": settings.kafka.bootstrap_servers,
        "properties.group.id": group(job),
        "watermark-delay": _milliseconds(timedelta(seconds=flink.watermark_delay_seconds)),
        "future-tolerance": _milliseconds(timedelta(seconds=flink.future_tolerance_seconds)),
        "remember": _milliseconds(remember),
        "most-ids": str(flink.dedup_ids),
        "spec": spec(event),
    }
    if piece:
        given["from"], given["to"] = (
            ",".join(f"{partition}:{offset}" for partition, offset in offsets.items())
            for offsets in piece
        )
    elif _has_windows(event):
        given["partial-bars"] = "true"
    return _create(f"source_{event_name(event)}", body, given)


def topic_sink(event: type[Event], kafka: KafkaSettings) -> str:
    """The topic of an event that Flink makes, as a sink; decimals and times become text."""
    stream = event.stream
    body = [
        f"`{c.name}` {'STRING' if c.type.startswith(('decimal', 'timestamptz')) else flink_type(c)}"
        for c in columns(event)
    ]
    given = {
        "connector": "kafka",
        "topic": stream.topic or "",
        "properties.bootstrap.servers": kafka.bootstrap_servers,
        # Transactions would hold a bar until the next checkpoint; its id is deterministic instead.
        "sink.delivery-guarantee": "at-least-once",
        "properties.compression.type": "lz4",
        "key.format": "raw",
        "key.fields": stream.key,
        "value.format": "json",
        "value.json.encode.ignore-null-fields": "true",
    }
    return _create(f"topic_{event_name(event)}", body, given)


def dead_letter_sink(event: type[Event], kafka: KafkaSettings) -> str:
    """The dead-letter topic of an event: key and value unchanged, the reason in the headers."""
    body = [
        "`record_key` BYTES",
        "`payload` BYTES",
        "`headers` MAP<STRING NOT NULL, BYTES> METADATA",
    ]
    given = {
        "connector": "kafka",
        "topic": f"{event.stream.topic}.dlq",
        "properties.bootstrap.servers": kafka.bootstrap_servers,
        "sink.delivery-guarantee": "at-least-once",
        # A record that is too large came compressed, and is sent on so.
        "properties.compression.type": "zstd",
        "properties.max.request.size": str(_LARGEST_DEAD),
        "properties.buffer.memory": str(2 * _LARGEST_DEAD),
        "key.format": "raw",
        "key.fields": "record_key",
        "value.fields-include": "EXCEPT_KEY",
        "value.format": "raw",
    }
    return _create(f"dead_{event_name(event)}", body, given)


def catalog(settings: CatalogSettings) -> str:
    """The lake's catalog under its own name."""
    given = {"type": "iceberg", "warehouse": settings.warehouse}
    if settings.kind == "rest":
        given |= {"catalog-type": "rest", "uri": settings.uri}
    else:
        given |= {
            "catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog",
            "uri": f"jdbc:{settings.uri}",
            "jdbc.schema-version": "V1",
            "jdbc.user": settings.user,
            "jdbc.password": settings.password.get_secret_value(),
        }
    return f"CREATE CATALOG `{settings.name}` WITH (\n  {options(given)}\n)"


def group(job: str) -> str:
    """The consumer group under which a job's checkpoints commit offsets to the broker."""
    return f"ticklake-{job}"


def _milliseconds(value: timedelta) -> str:
    return f"{int(value.total_seconds() * 1000)} ms"


def _create(name: str, body: list[str], given: Mapping[str, str]) -> str:
    inside = ",\n  ".join(body)
    return f"CREATE TEMPORARY TABLE `{name}` (\n  {inside}\n) WITH (\n  {options(given)}\n)"
