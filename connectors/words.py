"""What a column allows, in words for a person."""

from connectors.events import EVENTS
from connectors.stream import IDENTIFIER, Column, Event

_PATTERNS = {
    IDENTIFIER: "visible ASCII characters without spaces",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$": (
        "letters, digits, dots, underscores and hyphens, beginning with a letter or digit"
    ),
    "^[A-Z0-9][A-Z0-9._/-]{1,31}$": (
        "capital letters, digits and . _ / -, beginning with a letter or digit, 2 or more"
    ),
}
_TIME = "ISO-8601 with a zone, such as 2026-01-31T09:30:00.123456Z, not before 1970"


def allowed(column: Column) -> str:
    """Which values a column takes.

    Raises:
        KeyError: its pattern or type has no words yet; they belong into this module.
    """
    if column.allowed:
        return _either(column.allowed)
    if column.document:
        return "a JSON object"
    if column.type == "string":
        most = f", at most {column.max_length} characters" if column.max_length else ""
        return "text" + (f" of {_PATTERNS[column.pattern]}" if column.pattern else "") + most
    if column.type.startswith("decimal"):
        digits, places = column.type.removeprefix("decimal(").rstrip(")").split(", ")
        room = f"at most {int(digits) - int(places)} digits before the point"
        kept = f"rounded to {places} places" if column.rounded else f"{places} behind it"
        return f"a decimal number{_range(column)}, {room}, {kept}"
    return {
        "boolean": "true or false",
        "long": f"a whole number{_range(column)}",
        "int": f"a whole number{_range(column)}",
        "timestamptz": _TIME,
        "binary": "bytes",
    }[column.type]


def event_names() -> dict[str, type[Event]]:
    """The events that people publish, by the name that they type, such as `ai_decision`."""
    return {event_name(e): e for e in EVENTS if e.stream.topic and e.stream.made_by == "connectors"}


def event_name(event: type[Event]) -> str:
    """The event's name in snake case."""
    name = event.__name__
    return "".join(
        "_" + letter.lower() if index and _begins_word(name, index) else letter.lower()
        for index, letter in enumerate(name)
    )


def _begins_word(name: str, index: int) -> bool:
    following = name[index + 1 : index + 2]
    return name[index].isupper() and (not name[index - 1].isupper() or following.islower())


def _range(column: Column) -> str:
    if column.above is not None:
        return f" above {column.above}"
    if column.least is not None and column.most is not None:
        return f" from {column.least} to {column.most}"
    if column.least is not None:
        return f" from {column.least} on"
    return ""


def _either(values: tuple[str, ...]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} or {values[-1]}"
