"""Values of one field: of another type, out of range, or in one of the many forms of a time."""

from collections.abc import Iterator

from connectors.stream import Column

_OBJECT, _LIST, _TRUE, _NUMBER, _TEXT = {"a": 1}, [1], True, 12, "12"


def wrong_types(column: Column) -> Iterator[tuple[str, object]]:
    """What each column may not be, by JSON's types."""
    found: dict[str, object] = {"an object": _OBJECT, "a list": _LIST, "true": _TRUE}
    if column.document:
        found = {"a list": _LIST, "true": _TRUE, "a number": _NUMBER, "a text": '{"a": 1}'}
    elif column.type == "string":
        found |= {"a number": _NUMBER}
    elif column.type == "boolean":
        found = {"an object": _OBJECT, "a list": _LIST, "a number": 1, "a text": "true"}
    elif column.type == "long":
        found |= {"a text": _TEXT, "a fraction": 1.5, "a whole fraction": 1.0}
    elif column.type.startswith("decimal"):
        found |= {"a word": "many", "an empty text": ""}
    elif column.type == "timestamptz":
        found |= {"a word": "now", "an empty text": ""}
    yield from found.items()


DECIMALS: tuple[tuple[str, str | None], ...] = (
    # as a text, as a number
    ('"100.5"', None),
    ("100.5", None),
    ("100", None),
    ('"0.00000001"', None),
    ("1e-8", None),
    ('"1E-8"', None),
    ("1.5e2", None),
    ('"1.500000000000"', None),
    ('"9999999999.99999999"', None),
    # out of range
    ("0", "out_of_range"),
    ('"0"', "out_of_range"),
    ('"-0"', "out_of_range"),
    ("-1", "out_of_range"),
    ('"-0.00000001"', "out_of_range"),
    ('"0.000000001"', "out_of_range"),
    ("1e-9", "out_of_range"),
    ("1e-400", "out_of_range"),
    ('"10000000000"', "out_of_range"),
    ("1e400", "out_of_range"),
    ("-1e400", "out_of_range"),
    ('"1e400"', "out_of_range"),
    ("1e999999999", "out_of_range"),
    ("1e-999999999", "out_of_range"),
    ("1e99999999999", "out_of_range"),
    ('"1e99999999999"', "out_of_range"),
    ("1" * 100, "out_of_range"),
    ('"' + "1" * 100 + '"', "out_of_range"),
    ('"1.' + "0" * 100 + '1"', "out_of_range"),
    ("1" * 5000, "out_of_range"),
    # no decimal
    ('"NaN"', "wrong_type"),
    ('"Infinity"', "wrong_type"),
    ('"-inf"', "wrong_type"),
    ('" 1"', "wrong_type"),
    ('"1 "', "wrong_type"),
    ('"1,5"', "wrong_type"),
    ('"1_000"', "wrong_type"),
    ('"0x1F"', "wrong_type"),
    ('"1.2.3"', "wrong_type"),
    ('"$1"', "wrong_type"),
    ('"."', "wrong_type"),
    ('"--1"', "wrong_type"),
    ('"１２"', "wrong_type"),  # noqa: RUF001 - other digits are the point
    ('"٣"', "wrong_type"),
)
"""A price as JSON text, its code, why the job gives another one yet."""

TIMES: tuple[tuple[str, str | None, bool], ...] = (
    ("2026-01-31T09:30:00Z", None, False),
    ("2026-01-31T09:30:00.1Z", None, False),
    ("2026-01-31T09:30:00.123456Z", None, False),
    ("2026-01-31T09:30:00.123456+00:00", None, False),
    ("2026-01-31T10:30:00+01:00", None, False),
    ("2026-01-31T04:00:00-05:30", None, False),
    ("2024-02-29T00:00:00Z", None, False),
    ("1970-01-01T00:00:00.000000Z", None, False),
    ("1969-12-31T23:59:59.999999Z", "out_of_range", False),
    ("1970-01-01T00:30:00+01:00", "out_of_range", False),
    ("0000-01-01T00:00:00Z", "out_of_range", False),
    ("0001-01-01T00:00:00Z", "out_of_range", False),
    ("-0001-01-01T00:00:00Z", "out_of_range", False),
    ("2026-01-31T09:30:00", "wrong_type", False),
    ("2026-01-31", "wrong_type", False),
    ("2026-01-31T09:30:00.1234567Z", "wrong_type", False),
    ("2026-01-31T09:30:00.123456789Z", "wrong_type", False),
    ("2026-01-31 09:30:00Z", "wrong_type", True),
    ("2026-01-31T09:30:00 Z", "wrong_type", False),
    ("2026-01-31T09:30:00+0100", "wrong_type", True),
    ("2026-01-31T09:30:00+25:00", "wrong_type", False),
    ("2026-01-31T09:30:00Z[UTC]", "wrong_type", False),
    ("2026-01-31T24:00:00Z", "wrong_type", False),
    ("2026-01-31T09:60:00Z", "wrong_type", False),
    ("2016-12-31T23:59:60Z", "wrong_type", False),
    ("2026-02-29T00:00:00Z", "wrong_type", False),
    ("2026-02-29T00:00:00.000000Z", "wrong_type", False),
    ("2026-13-01T00:00:00.000000Z", "wrong_type", False),
    ("2026-1-31T09:30:00Z", "wrong_type", False),
    ("26-01-31T09:30:00Z", "wrong_type", False),
    ("31.01.2026 09:30", "wrong_type", False),
    ("01/31/2026 09:30:00", "wrong_type", False),
    ("20260131T093000Z", "wrong_type", True),
    ("2026-W05-6T09:30:00Z", "wrong_type", True),
    ("2026-031T09:30:00Z", "wrong_type", False),
    ("Sat, 31 Jan 2026 09:30:00 GMT", "wrong_type", False),
    ("1769851800", "wrong_type", False),
    ("1769851800000", "wrong_type", False),
    ("10000-01-01T00:00:00Z", "wrong_type", False),
)
"""A timestamp, its code, whether a file may hold it all the same."""
