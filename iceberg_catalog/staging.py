"""Tables beside the bronze ones: made anew for one use, and dropped behind it."""

from collections.abc import Iterable
from contextlib import suppress

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError

from iceberg_catalog.schema import partition_spec, schema, sort_order
from iceberg_catalog.tables import Table


def renew(catalog: Catalog, namespace: str, tables: Iterable[tuple[str, Table]]) -> None:
    """Make empty tables in a namespace of their own; what was there under these names goes.

    Args:
        catalog: where.
        namespace: not that of the bronze tables.
        tables: name, and the declared table that it is to be like.
    """
    with suppress(NamespaceAlreadyExistsError):
        catalog.create_namespace(namespace)
    wanted = list(tables)
    drop(catalog, namespace, [name for name, _ in wanted])
    for name, table in wanted:
        fields = schema(table)
        catalog.create_table(
            (namespace, name),
            schema=fields,
            partition_spec=partition_spec(table, fields),
            sort_order=sort_order(table, fields),
            properties={**table.properties, "comment": f"Staged for {'.'.join(table.identifier)}."},
        )


def drop(catalog: Catalog, namespace: str, names: Iterable[str]) -> None:
    """Drop tables with their files; one that is not there is passed over."""
    for name in names:
        try:
            catalog.purge_table((namespace, name))
        except NoSuchTableError:
            continue
