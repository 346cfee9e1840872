"""Dead letters as lines to edit, `{"id": ..., "payload": {...}}`, and edited lines as events."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from connectors import ndjson
from connectors.errors import TicklakeError
from connectors.events import EVENTS
from connectors.ndjson import Reader, Record
from connectors.stream import IDENTIFIER, Event
from ticklake import dead_letters
from ticklake.dead_letters import DeadLetter, Selection
from ticklake.settings import Settings

_FOR_PEOPLE = {"error", "text", "hex"}
_LONGEST_ID = 256
_ID = re.compile(rb'"event_id"\s*:\s*"([!#-\[\]-~]{1,256})"')
_AT_ONCE = 500


@dataclass(frozen=True)
class Fix:
    """The event that is to be sent in a dead letter's stead, and the line that it came from."""

    line: int
    record: Record


def event_of(topic: str) -> type[Event] | None:
    """The event that connectors publish to that topic."""
    published = (e for e in EVENTS if e.stream.made_by == "connectors")
    return next((event for event in published if event.stream.topic == topic), None)


def line(letter: DeadLetter) -> str:
    """A dead letter as a line to edit: what is wrong, and the event as it was sent.

    Where the value is no JSON object, `payload` is null and the value stands beside it as `text`,
    or as `hex` if it is no text. These two and `error` are for people: `read` ignores them.
    """
    head = json.dumps(
        {"id": letter.id, "error": f"{letter.error_code}: {letter.error_message}"},
        ensure_ascii=False,
    )
    content = letter.payload or b""
    if _pairs(content) is not None:
        # As it was sent: numbers keep their digits, a field that stands twice is seen twice.
        payload = content.decode("utf-8-sig").replace("\r", " ").replace("\n", " ").strip()
        return f'{head[:-1]}, "payload": {payload}}}'
    try:
        rest = f'"text": {json.dumps(content.decode(), ensure_ascii=False)}'
    except UnicodeDecodeError:
        rest = f'"hex": "{content.hex()}"'
    return f'{head[:-1]}, "payload": null, {rest}}}'


def read(file: Path) -> dict[str, Fix]:
    """The fixes in a file by the id of their dead letter; every line is checked.

    Raises:
        TicklakeError: names the first bad line, the field, and what is allowed.
    """
    readers: dict[str, Reader] = {}
    found: dict[str, Fix] = {}
    for number, text in ndjson.lines(file):
        try:
            fields = ndjson.decode(text)
            identifier = _identifier(fields)
            if identifier in found:
                _bad(f"fixes {identifier} again; line {found[identifier].line} does already")
            topic = identifier.rsplit(":", 2)[0]
            event = event_of(topic)
            if event is None:
                _bad(f"id is {identifier!r}; allowed is a dead letter's, topic:partition:offset")
            reader = readers.setdefault(topic, Reader(event))
            found[identifier] = Fix(number, reader.check(fields["payload"]))
        except ValueError as error:
            raise TicklakeError(f"{file} line {number}: {error}") from error
    if not found:
        raise TicklakeError(f"{file} holds no line; `ticklake dlq export` writes one a dead letter")
    return found


def require_same_events(settings: Settings, fixes: Mapping[str, Fix], file: Path) -> None:
    """See that each fix is of a dead letter that is there, and keeps its event_id.

    Raises:
        TicklakeError: names the first line that does not.
    """
    ids = list(fixes)
    for start in range(0, len(ids), _AT_ONCE):
        part = tuple(ids[start : start + _AT_ONCE])
        before = {
            letter.id: readable_id(letter.payload)
            for letter in dead_letters.letters(settings, Selection(ids=part))
        }
        for identifier in part:
            fix = fixes[identifier]
            place = f"{file} line {fix.line}"
            if identifier not in before:
                raise TicklakeError(f"{place}: there is no dead letter {identifier}")
            kept = before[identifier]
            if kept is not None and kept != fix.record.event.event_id:
                raise TicklakeError(
                    f"{place}: event_id is {fix.record.event.event_id!r}; the dead letter's is "
                    f"{kept!r}, and a fix keeps it: by it a repeat is recognised"
                )


def readable_id(payload: bytes | None) -> str | None:
    """The event_id in a record's value, also in one that is cut off or no JSON.

    None: there is none, none that is allowed, or more than one.
    """
    content = payload or b""
    pairs = _pairs(content)
    if pairs is not None:
        found = {value for name, value in pairs if name == "event_id" and isinstance(value, str)}
    else:
        found = {match.decode("ascii") for match in _ID.findall(content)}
    allowed = [one for one in found if len(one) <= _LONGEST_ID and re.fullmatch(IDENTIFIER, one)]
    return allowed[0] if len(found) == len(allowed) == 1 else None


def _identifier(fields: Mapping[str, object]) -> str:
    for name in fields:
        if name not in {"id", "payload", *_FOR_PEOPLE}:
            _bad(f"{name!r} is no field of a fix; it has id and payload")
    identifier, payload = fields.get("id"), fields.get("payload")
    if not isinstance(identifier, str):
        _bad("id is missing; allowed is a dead letter's, topic:partition:offset")
    if not isinstance(payload, dict):
        _bad(
            f"payload of {identifier} is no JSON object; write the whole event, or delete the line"
        )
    return identifier


def _bad(what: str) -> NoReturn:
    raise ValueError(what)


def _pairs(content: bytes) -> list[tuple[str, object]] | None:
    """The fields of a JSON object in their order, repeats kept; None: it is none."""
    try:
        text = content.decode("utf-8-sig")
        found = json.loads(text, object_pairs_hook=_Object, parse_constant=_bad, parse_int=str)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, _Object) else None


class _Object(list[tuple[str, object]]):
    """An object's fields, told from a JSON list."""
