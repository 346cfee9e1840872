"""Ask Trino: one connection a statement, every fault one sentence."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from requests.exceptions import RequestException
from trino.dbapi import connect
from trino.exceptions import Error, HttpError, TrinoConnectionError, TrinoQueryError

from connectors.errors import TicklakeError, UnavailableError
from ticklake.settings import Settings

_USER_ERROR = "USER_ERROR"
_CONFLICTS = ("ICEBERG_COMMIT_ERROR", "TRANSACTION_CONFLICT")
_CONFLICT_CLASSES = (
    "org.apache.iceberg.exceptions.CommitFailedException",
    "org.apache.iceberg.exceptions.ValidationException",
)
_PLACE = re.compile(r"^line \d+:\d+: ")


class UnfinishedError(UnavailableError):
    """Trino answers, but could not finish the statement."""


class ConflictError(UnfinishedError):
    """Others changed the table meanwhile; nothing was done, and trying again may pass."""


@dataclass(frozen=True)
class Result:
    """Rows as Python values, with the columns' names and Trino types."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[list[Any]]


def run(
    settings: Settings,
    statement: str,
    values: Sequence[object] = (),
    session: Mapping[str, str] | None = None,
) -> Result:
    """Run one statement and fetch all of its rows.

    Args:
        settings: names the coordinator and the catalog.
        statement: one statement, with `?` where a value is bound.
        values: the bound values; never put into the text.
        session: session properties of Trino and, by `<catalog>.<name>`, of the catalog.

    Raises:
        TicklakeError: Trino refuses the statement; says where in it and why.
        UnfinishedError: Trino could not finish it; ConflictError: for others changed the table.
        UnavailableError: Trino does not answer.
    """
    with _faults(settings), _connection(settings, session) as connection:
        cursor = connection.cursor()
        cursor.execute(statement, list(values) or None)
        rows = cursor.fetchall()
        described = cursor.description or []
    return Result(
        names=tuple(column[0] for column in described),
        types=tuple(str(column[1]) for column in described),
        rows=rows,
    )


def stream(
    settings: Settings, statement: str, values: Sequence[object] = ()
) -> Iterator[list[Any]]:
    """Like `run`, but the rows one by one, so that they need not fit into memory."""
    with _faults(settings), _connection(settings) as connection:
        cursor = connection.cursor()
        cursor.execute(statement, list(values) or None)
        while rows := cursor.fetchmany(1000):
            yield from rows


@contextmanager
def _connection(settings: Settings, session: Mapping[str, str] | None = None) -> Iterator[Any]:
    trino = settings.trino
    connection: Any = connect(  # type: ignore[no-untyped-call]
        host=trino.host,
        port=trino.port,
        user=trino.user,
        http_scheme=trino.http_scheme,
        catalog=settings.catalog.name,
        schema="bronze",
        source="ticklake",
        timezone="UTC",
        max_attempts=1,
        request_timeout=60.0,
        session_properties=dict(session or {}),
    )
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _faults(settings: Settings) -> Iterator[None]:
    try:
        yield
    except TrinoQueryError as error:
        raise _refused(error) from error
    except (RequestException, HttpError, TrinoConnectionError) as error:
        trino = settings.trino
        raise UnavailableError(
            f"Trino does not answer at {trino.host}:{trino.port}; start the local stack by "
            "`ticklake up`, or set TICKLAKE_TRINO__HOST and TICKLAKE_TRINO__PORT"
        ) from error
    except Error as error:
        raise TicklakeError(f"Trino: {_one_line(str(error))}") from error


def _refused(error: TrinoQueryError) -> TicklakeError:
    said = _one_line(error.message)
    if error.error_name in _CONFLICTS or error.error_exception in _CONFLICT_CLASSES:
        return ConflictError(f"others changed the table meanwhile ({error.error_name}): {said}")
    if error.error_type != _USER_ERROR:
        return UnfinishedError(f"Trino could not finish ({error.error_name}): {said}")
    place = error.error_location
    if place is None:
        return TicklakeError(f"SQL: {said}")
    line, column = place
    return TicklakeError(f"SQL line {line}, column {column}: {_PLACE.sub('', said)}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]
