"""The audit's statements, from their files in iceberg_catalog/audit."""

from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

from iceberg_catalog.tables import Table

_FOLDER = "iceberg_catalog.audit"


def text(name: str, table: Table | None = None) -> str:
    """The statement of that file.

    Args:
        name: the file's name without `.sql`.
        table: what stands for `${table}`, `${late_table}`, `${time}` and `${known_at}` in it.
    """
    written = files(_FOLDER).joinpath(f"{name}.sql").read_text()
    return written if table is None else Template(written).substitute(_names(table))


def count(places: str, table: Table) -> str:
    """The statement that counts the rows of that file, `places...`."""
    return Template(text("count")).substitute(places=text(places, table))


def united(names: Iterable[tuple[str, Table | None]]) -> str:
    """Several statements, their rows together."""
    return "UNION ALL\n".join(text(name, table) for name, table in names)


def known_at(table: Table) -> str:
    """The column that says when a row could first be known."""
    names = [column.name for column in table.columns]
    return "_ingested_at" if "_ingested_at" in names else table.time


def is_late(table: Table) -> bool:
    """Whether it is the landing table of late rows."""
    return table.name == table.source.late_name


def named(tables: Sequence[Table]) -> str:
    """Tables for a sentence."""
    return ", ".join(".".join(table.identifier) for table in tables)


def _names(table: Table) -> dict[str, str]:
    return {
        "table": table.name,
        "late_table": table.source.late_name or "",
        "time": f'"{table.time}"',
        "known_at": f'"{known_at(table)}"',
    }
