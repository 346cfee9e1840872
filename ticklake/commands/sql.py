"""`ticklake sql`: one statement to Trino."""

import csv
import json
import sys
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ticklake import console

if TYPE_CHECKING:
    from ticklake.queries import Result


class Format(StrEnum):
    """How rows are shown."""

    table = "table"
    csv = "csv"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Lake")(sql)


def sql(
    statement: Annotated[str | None, typer.Argument(help="One statement.")] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Read the statement from a file; - is stdin."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to show the rows.")] = Format.table,
) -> None:
    """Run one SQL statement in Trino.

    Tables without a schema are looked for in bronze: SELECT count(*) FROM raw_trades. Others are
    named with theirs: gold.trade_pnl. A statement that Trino refuses is one line with its place
    (exit code 2); no answer is exit code 3.
    """
    from ticklake import queries  # noqa: PLC0415 - slow, and not needed for --help
    from ticklake.settings import load  # noqa: PLC0415 - the same

    text = _text(statement, file).strip().removesuffix(";")
    result = queries.run(load(), text)
    if not result.names:
        console.step("done")
    elif form is Format.json:
        rows = [dict(zip(result.names, map(_plain, row), strict=True)) for row in result.rows]
        typer.echo(json.dumps(rows, indent=2))
    elif form is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.names)
        writer.writerows([["" if v is None else _shown(v) for v in row] for row in result.rows])
    else:
        _show(result)


def _text(statement: str | None, file: Path | None) -> str:
    from connectors.errors import TicklakeError  # noqa: PLC0415 - slow, and not needed for --help

    if (statement is None) == (file is None):
        raise TicklakeError('give one statement, as in `ticklake sql "SHOW TABLES"`, or --file')
    if statement is not None:
        return statement
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return Path(file or "").read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TicklakeError(f"cannot read {file}: {error}") from error


def _show(result: "Result") -> None:
    from rich.markup import escape  # noqa: PLC0415 - slow, and not needed for --help
    from rich.table import Table  # noqa: PLC0415 - the same

    numbers = ("bigint", "integer", "decimal", "double", "real", "smallint", "tinyint")
    table = Table(box=None, pad_edge=False)
    for name, kind in zip(result.names, result.types, strict=True):
        table.add_column(escape(name), justify="right" if kind.startswith(numbers) else "left")
    for row in result.rows:
        table.add_row(*("NULL" if v is None else escape(_shown(v)) for v in row))
    console.out.print(table)
    console.step(f"{len(result.rows)} rows" if len(result.rows) != 1 else "1 row")


def _shown(value: object) -> str:
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """A value as JSON keeps it: decimals as text, times as ISO-8601, bytes in hexadecimal."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
