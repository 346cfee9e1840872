"""Events from a file with one JSON object a line; a bad line is named, never skipped."""

import difflib
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from connectors import words
from connectors.errors import TicklakeError
from connectors.stream import Column, Event, columns

LARGEST_RECORD = 1_000_000
"""Bytes of key and value; of a larger one the broker may refuse the batch that it is in."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
# Whole numbers are milliseconds. Seconds would fall below this, microseconds above the other.
_LEAST_MS, _MOST_MS = 10**11, 10**14
_LONGEST_LINE = 4 * 1024 * 1024
_SHOWN = 60


class _BadLineError(ValueError):
    """What is wrong with a line, without its place."""


def event_type(name: str) -> type[Event]:
    """The event of that name, such as `tick` or `ai_decision`.

    Raises:
        TicklakeError: there is none; the message lists all.
    """
    known = words.event_names()
    if name not in known:
        raise TicklakeError(f"there is no event {name!r}; allowed are {', '.join(known)}")
    return known[name]


class Record(NamedTuple):
    """An event with its key and its form on the wire."""

    event: Event
    key: bytes
    value: bytes


def read(file: Path, event: type[Event]) -> Iterator[Record]:
    """The events of a file, in its order; a gzipped file is recognised by its first bytes.

    Raises:
        TicklakeError: the file cannot be read, or a line breaks a rule; names line and field.
    """
    reader = Reader(event)
    for number, line in lines(file):
        try:
            yield reader.parse(line)
        except ValueError as error:
            raise TicklakeError(f"{file} line {number}: {error}") from error


def lines(file: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers from 1 on.

    Raises:
        TicklakeError: the file cannot be read.
    """
    try:
        with _opened(file) as stream:
            number = 0
            while line := stream.readline(_LONGEST_LINE):
                number += 1
                text = line.removeprefix(_BOM) if number == 1 else line
                if text and not text.isspace():
                    yield number, text
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TicklakeError(f"cannot read {file}: {reason}") from error


def decode(line: bytes) -> dict[str, Any]:
    """The JSON object in a line; decimals are exact, a name may stand once.

    Raises:
        ValueError: what was found instead.
    """
    if len(line) >= _LONGEST_LINE:
        raise _BadLineError(f"is longer than {_LONGEST_LINE} bytes; one event is one line")
    try:
        found = _DECODE(line.decode())
    except UnicodeDecodeError as error:
        raise _BadLineError(f"is not UTF-8 (byte {error.start + 1})") from error
    except json.JSONDecodeError as error:
        raise _BadLineError(f"is not JSON: {error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise _BadLineError("is nested too deeply") from error
    except _BadLineError:
        raise
    except ValueError as error:  # a whole number of more digits than Python converts
        raise _BadLineError("holds a number of too many digits") from error
    if not isinstance(found, dict):
        raise _BadLineError(f"is {_shown(found)}; one JSON object a line is needed")
    return found


class Reader:
    """Parses lines that hold one kind of event."""

    def __init__(self, event: type[Event]) -> None:
        """Prepare for one kind of event."""
        self._event = event
        self._columns = {column.name: column for column in columns(event)}
        self._prepared = {
            name: prepare
            for name, column in self._columns.items()
            if (prepare := _preparation(column)) is not None
        }

    def parse(self, line: bytes) -> Record:
        """The event in a line.

        Raises:
            ValueError: what was found and what is allowed.
        """
        return self.check(decode(line))

    def check(self, found: dict[str, Any]) -> Record:
        """The event in an object that `decode` gave.

        Raises:
            ValueError: what was found and what is allowed.
        """
        try:
            return self._check(found)
        except RecursionError as error:
            raise _BadLineError("is nested too deeply") from error

    def _check(self, found: dict[str, Any]) -> Record:
        prepared = self._prepared
        for name, value in found.items():
            if name in prepared and value is not None:
                found[name] = prepared[name](value)
        try:
            event = self._event.model_validate(found)
            record = Record(event, event.key(), event.wire())
        except ValidationError as error:
            raise _BadLineError(self._words(error.errors()[0])) from error
        except PydanticSerializationError as error:
            raise _BadLineError("holds text that is no valid Unicode") from error
        if (size := len(record.key) + len(record.value)) > LARGEST_RECORD:
            raise _BadLineError(f"makes a record of {size} bytes; allowed are {LARGEST_RECORD}")
        return record

    def _words(self, error: ErrorDetails) -> str:
        if not error["loc"]:
            return str(error["msg"]).removeprefix("Value error, ")
        name = str(error["loc"][0])
        if error["type"] == "missing":
            return f"{name} is missing; allowed is {words.allowed(self._columns[name])}"
        if error["type"] == "extra_forbidden":
            close = difflib.get_close_matches(name, self._columns, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(self._columns)}"
            return f"{name!r} is no field of {words.event_name(self._event)}; {hint}"
        return _refusal(self._columns[name], error["input"])


def _opened(file: Path) -> IO[bytes]:
    stream = file.open("rb")
    gzipped = stream.read(2) == _GZIP
    if gzipped:
        stream.close()
        return cast("IO[bytes]", gzip.open(file, "rb"))
    stream.seek(0)
    return stream


def _preparation(column: Column) -> Callable[[object], object] | None:
    """What a value needs before pydantic, which takes more than the declaration means."""
    if column.type == "timestamptz":
        return lambda value: _time(column, value)
    if column.document:
        return _document
    exact = {"boolean": bool, "long": int}.get(column.type)
    if exact is None:
        return None
    # For pydantic true is 1, "yes" is true and 5.0 is 5.
    return lambda value: value if type(value) is exact else _refuse(column, value)


def _time(column: Column, value: object) -> object:
    # For pydantic a text of digits is a number of seconds or milliseconds, whichever fits.
    if isinstance(value, str) and not value.replace(".", "").isdecimal():
        return value
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        return _refuse(column, value)
    if not _LEAST_MS <= value < _MOST_MS:
        unit = "seconds" if value < _LEAST_MS else "micro- or nanoseconds"
        raise _BadLineError(
            f"{column.name} is {value}, which looks like {unit}; a number means epoch "
            f"milliseconds from {_LEAST_MS} (in 1973) on, other times are ISO-8601 with a zone"
        )
    return _EPOCH + timedelta(milliseconds=value)


def _document(value: object) -> object:
    """A document is kept as text, not computed with: its numbers are those of any JSON reader."""
    if isinstance(value, dict):
        return {_valid(key): _document(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_document(inner) for inner in value]
    if isinstance(value, Decimal):
        number = float(value)
        if number in {float("inf"), float("-inf")}:
            raise _BadLineError(
                f"holds {_shown(value)}, which no number type keeps; write it as text"
            )
        return number
    return value


def _valid(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise _BadLineError("holds text that is no valid Unicode") from error
    return name


def _refuse(column: Column, value: object) -> NoReturn:
    raise _BadLineError(_refusal(column, value))


def _refusal(column: Column, value: object) -> str:
    also = " (or epoch milliseconds as a number)" if column.type == "timestamptz" else ""
    return f"{column.name} is {_shown(value)}; allowed is {words.allowed(column)}{also}"


def _shown(value: object) -> str:
    try:
        text = str(value) if isinstance(value, Decimal) else json.dumps(value, default=str)
    except RecursionError:
        return "nested too deeply to show"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def _no_constant(found: str) -> object:
    raise _BadLineError(f"holds {found}, which is no JSON number; leave the field out instead")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _BadLineError(f"has the field {twice!r} twice; a field is given once")
    return found


_DECODE = json.JSONDecoder(
    parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_unique
).decode
