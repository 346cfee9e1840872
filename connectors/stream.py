"""How an event is declared, and the columns that follow from a declaration.

Type names are those of the Iceberg specification: the neutral vocabulary from which the table, the
Flink DDL, the JSON Schema and the data dictionary are made.
"""

import re
import types
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.types import StringConstraints

IDENTIFIER = r"^[!-~]+$"
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND_DIGITS = 6
# Decimal() also takes blanks, underscores and the digits of other scripts.
_DECIMAL_TEXT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MOST_DIGITS = 100
_LONGEST_AMOUNT = 20


def _exact_decimal(value: object) -> object:
    """Refuse a float and drop trailing zeros, so that 1.500000000 fits eight decimals."""
    if isinstance(value, float):
        raise ValueError("a decimal string such as '1.25' is needed; a float is not exact")  # noqa: TRY004
    if isinstance(value, str):
        if not _DECIMAL_TEXT.fullmatch(value):
            raise ValueError("a decimal string such as '1.25' is needed")
        try:
            value = Decimal(value)
        except ArithmeticError:
            return value
    if isinstance(value, Decimal) and _is_writable(value) and "." in format(value, "f"):
        return Decimal(format(value, "f").rstrip("0").rstrip("."))
    return value


def _is_writable(value: Decimal) -> bool:
    """Whether it has digits that can be written out: an exponent may stand for 10^18 of them."""
    return value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS


def _rounded_to_cents(value: object) -> object:
    exact = _exact_decimal(value)
    if isinstance(exact, Decimal) and _is_writable(exact) and exact.adjusted() < _LONGEST_AMOUNT:
        return exact.quantize(Decimal("0.01"))  # half-even, the default context
    return exact


def _microseconds(value: object) -> object:
    """Refuse what would lose digits; a time is kept to the microsecond."""
    if isinstance(value, str) and "." in value:
        digits = value.split(".", 1)[1]
        count = next((i for i, c in enumerate(digits) if not c.isdigit()), len(digits))
        if count > _MICROSECOND_DIGITS:
            raise ValueError("at most 6 digits of a second are kept; round to microseconds")
    return value


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


def _iso(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _plain(value: Decimal) -> str:
    return format(value, "f")


_WIRE_DECIMAL = PlainSerializer(_plain, return_type=str, when_used="json")

Identifier = Annotated[str, StringConstraints(pattern=IDENTIFIER, max_length=256)]
Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", max_length=64)
]
Pair = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9._/-]{1,31}$", max_length=32)]
Text = Annotated[str, StringConstraints(max_length=65_536)]
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_microseconds),
    AfterValidator(_in_utc),
    Field(ge=EARLIEST),
    PlainSerializer(_iso, return_type=str, when_used="json"),
]
Amount = Annotated[
    Decimal, BeforeValidator(_exact_decimal), Field(max_digits=18, decimal_places=8), _WIRE_DECIMAL
]
Price = Annotated[Amount, Field(gt=0)]
Size = Annotated[Amount, Field(ge=0)]
Volume = Annotated[
    Decimal,
    BeforeValidator(_rounded_to_cents),
    Field(ge=0, max_digits=18, decimal_places=2),
    _WIRE_DECIMAL,
]
Score = Annotated[
    Decimal,
    BeforeValidator(_exact_decimal),
    Field(ge=-1, le=1, max_digits=9, decimal_places=6),
    _WIRE_DECIMAL,
]
Percent = Annotated[
    Decimal,
    BeforeValidator(_exact_decimal),
    Field(ge=0, le=100, max_digits=9, decimal_places=4),
    _WIRE_DECIMAL,
]
Total = Annotated[
    Decimal,
    BeforeValidator(_exact_decimal),
    Field(ge=0, max_digits=38, decimal_places=8),
    _WIRE_DECIMAL,
]
Sequence = Annotated[int, Field(ge=0, le=2**63 - 1)]
Document = dict[str, JsonValue]


@dataclass(frozen=True)
class Column:
    """One column: the same on the wire, in Flink and in the table.

    `type` is an Iceberg type name: string, long, boolean, timestamptz, binary or decimal(P, S). A
    `document` is a JSON object on the wire and its text in the table (type string).
    """

    name: str
    type: str
    required: bool
    doc: str
    document: bool = False
    allowed: tuple[str, ...] = ()
    pattern: str | None = None
    max_length: int | None = None
    above: str | None = None
    least: str | None = None
    most: str | None = None
    rounded: bool = False
    default: str | None = None


@dataclass(frozen=True)
class BronzeTable:
    """A table that keeps an event, or the part of it with `value` in the selecting column."""

    name: str
    doc: str
    value: str | None = None
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] | None = None
    partition: Literal["day", "month"] = "day"
    late_name: str | None = None


@dataclass(frozen=True)
class Stream:
    """Where an event goes: topic, key and event time on Kafka, its tables in bronze.

    Attributes:
        topic: Kafka topic; None for what is only a table.
        key: column whose text is the record's key and, after time, the table's sort order.
        time: column with the event time; partitions are made from it.
        tables: the bronze tables; more than one are told apart by the column `select`.
        varies: columns that may differ between two sendings of one event; any other difference
            under one event_id is a conflict.
        rules: comparisons that must hold between columns of one event, as (left, operator, right).
        made_by: what writes the topic or table; 'connectors' publish, 'flink' derives,
            'replay' and 'audit' note what they did.
        retention_days: how long Kafka keeps the topic, by arrival time.
    """

    key: str
    time: str
    tables: tuple[BronzeTable, ...]
    topic: str | None = None
    select: str | None = None
    varies: tuple[str, ...] = ()
    rules: tuple[tuple[str, Literal["<=", ">="], str], ...] = ()
    made_by: Literal["connectors", "flink", "replay", "audit"] = "connectors"
    retention_days: int = 7


class Event(BaseModel):
    """Base of all events: frozen, no unknown fields, `stream` says where it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    stream: ClassVar[Stream]

    event_id: Identifier = Field(
        description="deterministic, from the venue's own id: venue:kind:symbol:id; unique"
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - pydantic's own
        """Refuse a declaration that names a field which is not there."""
        super().__pydantic_init_subclass__(**kwargs)
        names = {column.name for column in columns(cls)}
        stream = cls.stream
        used = {stream.key, stream.time} | ({stream.select} if stream.select else set())
        for table in stream.tables:
            used |= {*table.required, *(table.optional or ())}
        for left, _, right in stream.rules:
            used |= {left, right}
        if unknown := used - names:
            raise TypeError(f"{cls.__name__}.stream names {sorted(unknown)}, which are no fields")

    @model_validator(mode="after")
    def _keeps_the_declared_rules(self) -> "Event":
        kind = getattr(self, self.stream.select) if self.stream.select else None
        if kind is not None:
            required, foreign = _demands(type(self), kind)
            for name in required:
                if getattr(self, name) is None:
                    raise ValueError(f"{name} is required where {self.stream.select} is {kind}")
            for name in foreign:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} does not belong to {self.stream.select} {kind}")
        for left, operator, right in self.stream.rules:
            a, b = getattr(self, left), getattr(self, right)
            if a is not None and b is not None and not (a <= b if operator == "<=" else a >= b):
                raise ValueError(f"{left} must be {operator} {right}")
        return self

    def wire(self) -> bytes:
        """The one form on the wire: JSON, decimals as strings, times as ISO-8601 in UTC."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    def key(self) -> bytes:
        """The record's key: the text of the declared key column."""
        return str(getattr(self, self.stream.key)).encode()


def fields_of(event: type[BaseModel]) -> Iterable[tuple[str, FieldInfo]]:
    """The fields of a model with their Python names."""
    return event.model_fields.items()


def alias(name: str, info: FieldInfo) -> str:
    """The field's name on the wire, which is its column's."""
    return info.alias or name


@cache
def _demands(event: type[Event], kind: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fields that this kind of the event requires, and those that belong to other kinds."""
    table = next(t for t in event.stream.tables if t.value == kind)
    known = {*table_column_names(event, table), event.stream.select}
    return table.required, tuple(c.name for c in columns(event) if c.name not in known)


@cache
def table_column_names(event: type[Event], table: BronzeTable) -> list[str]:
    """The event's columns that `table` keeps, in the order of declaration."""
    stream = event.stream
    specific = {n for t in stream.tables for n in (*t.required, *(t.optional or ()))}
    own = {*table.required, *(table.optional or ())}
    return [
        column.name
        for column in columns(event)
        if column.name in own
        or (
            column.name not in specific
            and not (table.value and column.name == stream.select and table.optional is not None)
        )
    ]


def table_columns(event: type[Event], table: BronzeTable) -> tuple[Column, ...]:
    """The columns that `table` keeps; what its kind of event requires is required there."""
    names = table_column_names(event, table)
    return tuple(
        replace(column, required=column.required or column.name in table.required)
        for column in columns(event)
        if column.name in names
    )


@cache
def columns(event: type[BaseModel]) -> tuple[Column, ...]:
    """The columns of an event.

    Raises:
        TypeError: a field has a type that has no column type, or no description.
    """
    return tuple(_column(event.__name__, name, info) for name, info in fields_of(event))


def _column(owner: str, name: str, info: FieldInfo) -> Column:
    if not info.description:
        raise TypeError(f"{owner}.{name} has no description")
    annotation, required = info.annotation, True
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [a for a in get_args(annotation) if a is not type(None)]
        required = len(inner) == len(get_args(annotation))
        annotation = inner[0] if len(inner) == 1 else annotation
    metadata = [*info.metadata]
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata += more
    limits = _limits(metadata)
    common = {
        "name": alias(name, info),
        "required": required,
        "doc": info.description,
        "default": _default(info),
        "allowed": (),
        **limits,
    }
    common.pop("digits")
    if get_origin(annotation) is Literal:
        return Column(type="string", **{**common, "allowed": get_args(annotation)})
    if get_origin(annotation) is dict:
        return Column(type="string", document=True, **common)
    if annotation is Decimal:
        if None in limits["digits"]:
            raise TypeError(f"{owner}.{name}: a decimal needs max_digits and decimal_places")
        return Column(type="decimal({}, {})".format(*limits["digits"]), **common)
    simple = {
        str: "string",
        bool: "boolean",
        int: "long",
        bytes: "binary",
        AwareDatetime: "timestamptz",
        datetime: "timestamptz",
    }
    if annotation not in simple:
        raise TypeError(
            f"{owner}.{name}: {annotation!r} has no column type; allowed are "
            "str, bool, int, bytes, Decimal, a zoned datetime, a Literal of strings or a Document"
        )
    return Column(type=simple[annotation], **common)


def _default(info: FieldInfo) -> str | None:
    value = None if info.is_required() else info.default
    return str(value).lower() if isinstance(value, bool) else None if value is None else str(value)


def _limits(metadata: Iterable[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "pattern": None,
        "max_length": None,
        "above": None,
        "least": None,
        "most": None,
        "rounded": False,
    }
    digits, places = None, None
    for item in metadata:
        for part in _flat(item):
            if isinstance(part, Gt):
                found["above"] = _limit(part.gt)
            elif isinstance(part, Ge):
                found["least"] = _limit(part.ge)
            elif isinstance(part, Le):
                found["most"] = _limit(part.le)
            elif isinstance(part, MaxLen):
                found["max_length"] = part.max_length
            elif isinstance(part, BeforeValidator) and part.func is _rounded_to_cents:
                found["rounded"] = True
            found["pattern"] = getattr(part, "pattern", None) or found["pattern"]
            digits = getattr(part, "max_digits", None) or digits
            places = getattr(part, "decimal_places", None) or places
    return {**found, "digits": (digits, places)}


def _flat(item: object) -> Iterable[object]:
    if isinstance(item, FieldInfo):
        for part in item.metadata:
            yield from _flat(part)
    elif isinstance(item, StringConstraints):
        yield from item
        yield item
    else:
        yield item


def _limit(value: object) -> str:
    return _iso(value) if isinstance(value, datetime) else str(value)
