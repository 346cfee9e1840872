"""Flink DDL from the declaration: a topic as a source, a topic as a sink, the lake's catalog."""

import dataclasses
import json
from collections.abc import Mapping

from connectors.settings import KafkaSettings
from connectors.stream import Column, Event, columns, table_column_names
from connectors.words import event_name
from flink_jobs.settings import FlinkSettings
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
    """The declaration as the format `ticklake-event` reads it (EventSpec.java)."""
    stream = event.stream
    fields = [field.name for field in dataclasses.fields(Column) if field.name != "doc"]
    kinds = {
        table.value: {
            "required": table.required,
            "known": [*table_column_names(event, table), *([stream.select or ""])],
        }
        for table in stream.tables
        if stream.select
    }
    return json.dumps(
        {
            "max_bytes": _LARGEST_RECORD,
            "time": stream.time,
            "select": stream.select,
            "kinds": kinds,
            "rules": stream.rules,
            "columns": [
                {f: getattr(column, f) for f in fields if getattr(column, f)}
                | {"required": column.required}
                for column in columns(event)
            ],
        },
        separators=(",", ":"),
    )


def source(event: type[Event], kafka: KafkaSettings, flink: FlinkSettings, group: str) -> str:
    """The topic of an event as a table.

    Columns: the event's; `_event_us` (event time, microseconds since 1970); for a record that
    broke a rule `_error_code` and `_error_message`; always `_payload`, `_key` and where it stood.
    The row time of a record that is bad, or too far ahead of the broker's append time, is 1970:
    such a record must not move the watermark.
    """
    stream = event.stream
    time = f"`{stream.time}`"
    ahead = f"{time} > `_ingested_at` + {_seconds(flink.future_tolerance_seconds)}"
    zone = "TIMESTAMP_LTZ(3)"
    clamped = (
        f"CASE WHEN {time} IS NULL OR {ahead} THEN TO_TIMESTAMP_LTZ(0, 3)"
        f" ELSE CAST({time} AS {zone}) END"
    )
    watermark = f"`_rowtime` - {_seconds(flink.watermark_delay_seconds)}"
    body = [f"`{column.name}` {flink_type(column)}" for column in columns(event)]
    body += [
        "`_event_us` BIGINT",
        "`_error_code` STRING",
        "`_error_message` STRING",
        "`_payload` BYTES",
        "`_key` BYTES",
        "`_kafka_partition` INT METADATA FROM 'partition' VIRTUAL",
        "`_kafka_offset` BIGINT METADATA FROM 'offset' VIRTUAL",
        f"`_ingested_at` {zone} METADATA FROM 'timestamp' VIRTUAL",
        f"`_from_future` AS {ahead}",
        f"`_rowtime` AS {clamped}",
        "`_arrival` AS PROCTIME()",
        f"WATERMARK FOR `_rowtime` AS {watermark}",
    ]
    given = {
        "connector": "kafka",
        "topic": stream.topic or "",
        "properties.bootstrap.servers": kafka.bootstrap_servers,
        "properties.group.id": group,
        # A new job reads all that Kafka still has; a resumed one goes by its own state.
        "scan.startup.mode": "earliest-offset",
        "key.format": "raw",
        "key.fields": "_key",
        "value.fields-include": "EXCEPT_KEY",
        "value.format": "ticklake-event",
        "value.ticklake-event.spec": spec(event),
    }
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
        # The largest record allowed, its key and the reason in the headers.
        "properties.max.request.size": str(2 * _LARGEST_RECORD),
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


def _seconds(value: float) -> str:
    return f"INTERVAL '{value:.3f}' SECOND(3, 3)"


def _create(name: str, body: list[str], given: Mapping[str, str]) -> str:
    inside = ",\n  ".join(body)
    return f"CREATE TEMPORARY TABLE `{name}` (\n  {inside}\n) WITH (\n  {options(given)}\n)"
