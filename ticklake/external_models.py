"""SQLMesh's view of the bronze tables, as it follows from the declaration.

Run it to rewrite the committed file: `python -m ticklake.external_models`.
"""

from pathlib import Path

from iceberg_catalog.tables import NAMESPACE, Table, tables

FILE = Path(__file__).parents[1] / "sqlmesh" / "external_models.yaml"
_HEADER = "# Generated from connectors/events.py by `make generate`; a test compares.\n"
_TYPES = {
    "string": "varchar",
    "int": "integer",
    "long": "bigint",
    "boolean": "boolean",
    "timestamptz": "timestamp(6) with time zone",
    "binary": "varbinary",
}


def trino_type(iceberg_type: str) -> str:
    """The Trino type of an Iceberg type.

    Raises:
        KeyError: the type has no Trino type here.
    """
    return iceberg_type if iceberg_type.startswith("decimal") else _TYPES[iceberg_type]


def render() -> str:
    """The whole text of `sqlmesh/external_models.yaml`."""
    return _HEADER + "".join(_entry(table) for table in tables())


def _entry(table: Table) -> str:
    lines = [f"- name: {NAMESPACE}.{table.name}", "  columns:"]
    lines += [f"    {column.name}: {trino_type(column.type)}" for column in table.columns]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(render())
