"""A declared table in PyIceberg's terms: schema, partition spec and sort order."""

import re
from typing import Any

from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform, Transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DecimalType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from iceberg_catalog.tables import Table

_TYPES: dict[str, PrimitiveType] = {
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
    "binary": BinaryType(),
}
_DECIMAL = re.compile(r"decimal\((\d+), ?(\d+)\)")


def iceberg_type(name: str) -> PrimitiveType:
    """The type of that name in the specification.

    Raises:
        KeyError: no column may have it.
    """
    if match := _DECIMAL.fullmatch(name):
        return DecimalType(int(match[1]), int(match[2]))
    return _TYPES[name]


def schema(table: Table) -> Schema:
    """The table's schema, field ids counted from 1 in the order of declaration."""
    return Schema(
        *(
            NestedField(
                field_id=number,
                name=column.name,
                field_type=iceberg_type(column.type),
                required=column.required,
                doc=column.doc,
            )
            for number, column in enumerate(table.columns, start=1)
        )
    )


def partition_spec(table: Table, fields: Schema) -> PartitionSpec:
    """By day or month of the event time."""
    transform: Transform[Any, Any] = (
        DayTransform() if table.partition == "day" else MonthTransform()
    )
    return PartitionSpec(
        PartitionField(
            source_id=fields.find_field(table.time).field_id,
            field_id=PARTITION_FIELD_ID_START,
            transform=transform,
            name=f"{table.time}_{table.partition}",
        )
    )


def sort_order(table: Table, fields: Schema) -> SortOrder:
    """Ascending by the declared columns."""
    return SortOrder(
        *(
            SortField(
                source_id=fields.find_field(name).field_id,
                transform=IdentityTransform(),
                null_order=NullOrder.NULLS_FIRST,
            )
            for name in table.sort
        )
    )


def can_widen(found: IcebergType, declared: IcebergType) -> bool:
    """Whether every value of `found` is one of `declared`, by the specification's own rules."""
    if isinstance(found, DecimalType) and isinstance(declared, DecimalType):
        return found.scale == declared.scale and found.precision < declared.precision
    return isinstance(found, IntegerType) and isinstance(declared, LongType)
