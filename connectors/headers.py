"""Headers of a record: the names that Ticklake knows, and how the lake keeps all of them."""

import base64
import binascii
import json
from collections.abc import Iterable

from connectors.errors import TicklakeError

DEAD_LETTER = "ticklake-dead-letter"
"""On a record that was sent again: the event_id of its dead letter."""

ATTEMPT = "ticklake-attempt"
"""On a record that was sent again: 1 for the first time, in ASCII digits."""

Headers = list[tuple[str, bytes]]


def packed(headers: Iterable[tuple[str, bytes | None]]) -> str:
    """The text in the lake: a JSON list of [name, base64 of value], order and repeats kept."""
    return json.dumps(
        [[name, None if v is None else base64.b64encode(v).decode()] for name, v in headers],
        separators=(",", ":"),
    )


def unpacked(text: str | None) -> Headers:
    """The headers in such a text; one without a value gets an empty one, as the client needs.

    Raises:
        TicklakeError: it is no such text.
    """
    try:
        return [
            (str(name), base64.b64decode(value or "", validate=True))
            for name, value in json.loads(text or "[]")
        ]
    except (ValueError, TypeError, binascii.Error) as error:
        raise TicklakeError(
            f"the headers of a dead letter are {str(text)[:60]!r}; a JSON list of "
            "[name, base64 of value] is needed"
        ) from error


def sent_again(headers: Iterable[tuple[str, bytes]], dead_letter: str, attempt: int) -> Headers:
    """The headers of a record that is sent again: its own ones, and which attempt of what it is."""
    own = [(name, value) for name, value in headers if name not in {DEAD_LETTER, ATTEMPT}]
    return [*own, (DEAD_LETTER, dead_letter.encode()), (ATTEMPT, b"%d" % attempt)]
