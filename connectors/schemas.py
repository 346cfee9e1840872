"""JSON Schema of each event on the wire, and the data dictionary, both committed for people.

Run it to rewrite them: `python -m connectors.schemas`. A test compares.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from connectors.errors import TicklakeError
from connectors.events import EVENTS
from connectors.stream import Column, Event, columns, table_columns
from connectors.words import allowed, event_name

FOLDER = Path(__file__).with_name("schemas")
DICTIONARY = Path(__file__).with_name("EVENTS.md")
_LONG = 2**63 - 1
_UTC = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"


def file_name(event: type[Event]) -> str:
    """The schema's file, named after the topic, which carries the version."""
    return f"{event.stream.topic}.json"


def on_the_wire() -> tuple[type[Event], ...]:
    """The events that have a topic, and so a schema."""
    return tuple(event for event in EVENTS if event.stream.topic)


def schema(event: type[Event]) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of an event's value on its topic.

    A field without a value is left out on the wire, never null. What JSON Schema cannot say of a
    decimal in a text stands under `x-`.
    """
    stream = event.stream
    found = columns(event)
    result: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event.__name__,
        "description": (event.__doc__ or "").strip(),
        "x-topic": stream.topic,
        "x-key": stream.key,
        "x-time": stream.time,
        "type": "object",
        "additionalProperties": False,
        "required": [c.name for c in found if c.required and c.default is None],
        "properties": {column.name: _property(column) for column in found},
    }
    if conditions := [*_conditions(event)]:
        result["allOf"] = conditions
    if stream.rules:
        result["x-rules"] = [" ".join(rule) for rule in stream.rules]
    return result


def render_schema(event: type[Event]) -> str:
    """The whole text of an event's schema file."""
    return json.dumps(schema(event), indent=2) + "\n"


def render_dictionary() -> str:
    """The whole text of the data dictionary."""
    head = (
        "# Events\n\n"
        "Generated from connectors/events.py by `make generate`; a test compares.\n\n"
        "A value is one JSON object; a field without a value is left out; decimals are texts, "
        "times ISO-8601 in UTC with `Z`.\nEvery bronze row of a published event also has "
        "`_kafka_partition`, `_kafka_offset` and `_ingested_at` (the broker's append time).\n"
    )
    return head + "".join(_chapter(event) for event in EVENTS)


def breaking_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What in `new` would break a reader or a writer that knows `old`; empty: compatible."""
    before, after = old["properties"], new["properties"]
    found = [f"{name} was removed or renamed" for name in before if name not in after]
    found += [
        f"{name} is newly required" for name in new["required"] if name not in old["required"]
    ]
    found += [
        f"{name} is no longer required"
        for name in old["required"]
        if name in after and name not in new["required"]
    ]
    for name in before:
        if name in after:
            found += [f"{name} {what}" for what in _narrowed(before[name], after[name])]
    found += [
        f"{keyword} changed from {old.get(keyword)} to {new.get(keyword)}"
        for keyword in ("x-topic", "x-key", "x-time")
        if old.get(keyword) != new.get(keyword)
    ]
    found += [
        f"rule {rule} is new"
        for rule in new.get("x-rules", [])
        if rule not in old.get("x-rules", [])
    ]
    found += _new_conditions(old.get("allOf", []), new.get("allOf", []))
    return found


def require_compatible(event: type[Event]) -> None:
    """Compare an event's committed schema with its declaration.

    Raises:
        TicklakeError: the declaration would break who reads or writes the topic now.
    """
    committed = FOLDER / file_name(event)
    if not committed.exists():
        return
    broken = breaking_changes(json.loads(committed.read_text()), schema(event))
    if broken:
        raise TicklakeError(
            f"{event.__name__} breaks {event.stream.topic}: {'; '.join(broken)}. Add an optional "
            "field instead, and deploy the readers (the jobs) before the writers. If it must "
            "change, declare a new event with the next version of the topic (ending in "
            f"{_next_version(event)}), read both until the old one is empty, then move the writers"
        )


def write() -> list[Path]:
    """Rewrite the schemas and the dictionary; a schema without an event is removed.

    Raises:
        TicklakeError: an event would break its topic; nothing is written then.
    """
    for event in on_the_wire():
        require_compatible(event)
    FOLDER.mkdir(exist_ok=True)
    texts = {FOLDER / file_name(event): render_schema(event) for event in on_the_wire()}
    for stale in set(FOLDER.glob("*.json")) - set(texts):
        stale.unlink()
    texts[DICTIONARY] = render_dictionary()
    for path, text in texts.items():
        path.write_text(text)
    return list(texts)


def _next_version(event: type[Event]) -> str:
    number = (event.stream.topic or "").rpartition(".v")[2]
    return f".v{int(number) + 1}" if number.isdecimal() else ".v2"


def _property(column: Column) -> dict[str, Any]:
    found: dict[str, Any] = {"description": column.doc}
    if column.document:
        return found | {"type": "object"}
    if column.type == "boolean":
        found["type"] = "boolean"
    elif column.type in {"long", "int"}:
        found["type"] = "integer"
        found["minimum"] = int(column.least or -_LONG - 1)
        found["maximum"] = int(column.most or _LONG)
    elif column.type == "timestamptz":
        found |= {"type": "string", "format": "date-time", "pattern": _UTC}
    elif column.type.startswith("decimal"):
        found |= {"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "x-decimal": column.type}
        limits = {"x-above": column.above, "x-least": column.least, "x-most": column.most}
        found |= {key: value for key, value in limits.items() if value is not None}
    else:
        found["type"] = "string"
        if column.allowed:
            found["enum"] = list(column.allowed)
        if column.pattern:
            found["pattern"] = column.pattern
        if column.max_length:
            found["maxLength"] = column.max_length
    if column.default is not None:
        found["default"] = json.loads(column.default)
    return found


def _conditions(event: type[Event]) -> Iterator[dict[str, Any]]:
    """What each kind of an event requires and excludes."""
    stream = event.stream
    names = {column.name for column in columns(event)}
    for table in stream.tables:
        if not stream.select or not (table.required or table.optional is not None):
            continue
        then: dict[str, Any] = {}
        if table.required:
            then["required"] = list(table.required)
        if table.optional is not None:
            kept = {column.name for column in table_columns(event, table)} | {stream.select}
            then["properties"] = {
                column.name: False for column in columns(event) if column.name in names - kept
            }
        yield {
            "if": {"properties": {stream.select: {"const": table.value}}},
            "then": then,
        }


def _narrowed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if old.get("type") != new.get("type"):
        yield f"changed from {old.get('type')} to {new.get('type')}"
        return
    for keyword in ("pattern", "format"):
        if new.get(keyword) != old.get(keyword):
            yield f"has another {keyword}: {new.get(keyword)}"
    if "enum" in new:
        gone = [value for value in old.get("enum", []) if value not in new["enum"]]
        if gone or "enum" not in old:
            yield f"no longer allows {', '.join(gone) or 'other values'}"
    for keyword, is_lower in (
        ("minimum", True),
        ("x-least", True),
        ("x-above", True),
        ("maximum", False),
        ("x-most", False),
        ("maxLength", False),
    ):
        if _tightened(old.get(keyword), new.get(keyword), is_lower=is_lower):
            limit = keyword.removeprefix("x-")
            yield f"has a tighter {limit}: {old.get(keyword)} to {new[keyword]}"
    if "x-decimal" in old and not _wider(old["x-decimal"], new.get("x-decimal", "")):
        yield f"changed from {old['x-decimal']} to {new.get('x-decimal')}"


def _tightened(old: object, new: object, *, is_lower: bool) -> bool:
    if new is None:
        return False
    if old is None:
        return True
    before, after = Decimal(str(old)), Decimal(str(new))
    return after > before if is_lower else after < before


def _wider(old: str, new: str) -> bool:
    (digits, places), (more, same) = _digits(old), _digits(new)
    return same == places and more >= digits


def _digits(text: str) -> tuple[int, int]:
    digits, places = text.removeprefix("decimal(").rstrip(")").split(",")
    return int(digits), int(places)


def _new_conditions(old: list[Any], new: list[Any]) -> Iterator[str]:
    def by_kind(conditions: list[Any]) -> dict[str, Any]:
        return {json.dumps(c["if"]["properties"]): c["then"] for c in conditions}

    before, after = by_kind(old), by_kind(new)
    for kind, then in after.items():
        if kind not in before:
            continue
        known = before[kind]
        for name in then.get("required", []):
            if name not in known.get("required", []):
                yield f"{name} is newly required where {kind}"
        for name in then.get("properties", {}):
            if name not in known.get("properties", {}):
                yield f"{name} is newly excluded where {kind}"


def _chapter(event: type[Event]) -> str:
    stream = event.stream
    lines = [f"\n## {event_name(event)}\n", " ".join((event.__doc__ or "").split()), ""]
    if stream.topic:
        lines.append(
            f"Topic `{stream.topic}`, key `{stream.key}`, kept {stream.retention_days} days by "
            f"arrival; schema [{file_name(event)}](schemas/{file_name(event)})."
        )
    for table in stream.tables:
        kind = f" where `{stream.select}` is `{table.value}`" if table.value else ""
        late = f", late ones by way of `bronze.{table.late_name}`" if table.late_name else ""
        lines.append(f"- `bronze.{table.name}`: {table.doc} By {table.partition}{kind}{late}.")
    lines += ["", "| field | type | required | allowed | what it is |", "|---|---|---|---|---|"]
    for column in columns(event):
        required = "yes" if column.required and column.default is None else "no"
        kind = "document" if column.document else column.type
        lines.append(
            f"| `{column.name}` | {kind} | {required} | {allowed(column)} | {column.doc} |"
        )
    lines += [f"\nAlways: {' '.join(rule)}." for rule in stream.rules]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        for written in write():
            print(written)  # noqa: T201 - the result
    except TicklakeError as error:
        sys.exit(f"connectors.schemas: {error}")
