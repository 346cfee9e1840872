"""Append a few events to their bronze table; the jobs write the many."""

import warnings
from collections.abc import Sequence

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError

from connectors.errors import TicklakeError, UnavailableError
from connectors.stream import Event
from iceberg_catalog.tables import NAMESPACE

_ATTEMPTS = 5


def require(catalog: Catalog, name: str) -> None:
    """See that the table is there, before something is done that is to be noted in it.

    Raises:
        TicklakeError: it is not.
    """
    if not catalog.table_exists((NAMESPACE, name)):
        raise TicklakeError(f"there is no table {NAMESPACE}.{name}; create it by `ticklake apply`")


def append(catalog: Catalog, name: str, events: Sequence[Event]) -> None:
    """Add rows to a bronze table in one commit.

    Raises:
        TicklakeError: there is no such table.
        UnavailableError: others kept changing the table meanwhile.
    """
    if not events:
        return
    rows = [event.model_dump(by_alias=True) for event in events]
    for _ in range(_ATTEMPTS):
        try:
            table = catalog.load_table((NAMESPACE, name))
            data = pa.Table.from_pylist(rows, schema=table.schema().as_arrow())
            with warnings.catch_warnings():
                # a setting for Flink and Trino that PyIceberg's writer lacks
                warnings.filterwarnings("ignore", "Parquet writer option", UserWarning)
                table.append(data)
        except NoSuchTableError:
            require(catalog, name)
        except CommitFailedException:
            continue  # someone was faster: try again on what is there now
        return
    raise UnavailableError(
        f"table {NAMESPACE}.{name} was changed by others in each of {_ATTEMPTS} attempts"
    )
