"""Lines to edit, and edited lines checked before anything is sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from letters import letter
from poison import corpus

from connectors import ndjson
from connectors.errors import TicklakeError
from ticklake import dead_letters, fixes
from ticklake.dead_letters import DeadLetter, Selection
from ticklake.settings import load

ID = "market.ticks.v1:0:42"
GOOD = {
    "event_id": "a:trade:1",
    "kind": "trade",
    "source_provider": "a",
    "asset_pair": "BTCUSD",
    "timestamp": "2026-01-31T09:30:00Z",
    "price": "1.5",
    "size": "1",
}


def written(folder: Path, *lines: object) -> Path:
    """A file of fixes."""
    file = folder / "fix.ndjson"
    file.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return file


def test_a_fix_is_an_event_in_its_form_on_the_wire(tmp_path: Path) -> None:
    """Checked as `publish` checks; what is for people is ignored."""
    line = {"id": ID, "error": "was bad", "text": "x", "hex": "00", "payload": GOOD}

    found = fixes.read(written(tmp_path, "", line))[ID]

    assert found.line == 2
    assert found.record.key == b"BTCUSD"
    assert b'"timestamp":"2026-01-31T09:30:00.000000Z","price":"1.5"' in found.record.value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1]", "is [1]; one JSON object a line is needed"),
        ("{", "is not JSON"),
        ({"payload": GOOD}, "id is missing; allowed is a dead letter's, topic:partition:offset"),
        ({"id": "x", "payload": GOOD}, "id is 'x'; allowed is a dead letter's"),
        ({"id": "nix.v1:0:1", "payload": GOOD}, "id is 'nix.v1:0:1'; allowed is a dead letter's"),
        ({"id": ID, "payload": GOOD, "value": 1}, "'value' is no field of a fix; it has id and"),
        ({"id": ID, "payload": None}, "is no JSON object; write the whole event, or delete the"),
        ({"id": ID}, "is no JSON object; write the whole event, or delete the line"),
        ({"id": ID, "payload": GOOD | {"price": "0"}}, 'price is "0"; allowed is a decimal number'),
        ({"id": ID, "payload": GOOD | {"pric": "1"}}, "did you mean price?"),
        ({"id": ID, "payload": {}}, "event_id is missing; allowed is text"),
    ],
)
def test_a_bad_line_is_named_with_its_field(tmp_path: Path, line: object, said: str) -> None:
    """One line: number, field, what is allowed."""
    other = {"id": "market.ticks.v1:0:1", "payload": GOOD}

    with pytest.raises(TicklakeError) as caught:
        fixes.read(written(tmp_path, other, line))

    assert "fix.ndjson line 2: " in str(caught.value)
    assert said in str(caught.value)


def test_two_fixes_of_one_dead_letter_are_refused(tmp_path: Path) -> None:
    """Which one was meant?"""
    line = {"id": ID, "payload": GOOD}

    with pytest.raises(TicklakeError, match=r"line 2: fixes .*:42 again; line 1 does already"):
        fixes.read(written(tmp_path, line, line))


def test_an_empty_file_says_where_lines_come_from(tmp_path: Path) -> None:
    """Nothing to do is not success."""
    with pytest.raises(TicklakeError, match="`ticklake dlq export` writes one a dead letter"):
        fixes.read(written(tmp_path))


def stored(monkeypatch: pytest.MonkeyPatch, *found: DeadLetter) -> None:
    """What the lake has."""

    def letters(_: object, chosen: Selection) -> Iterator[DeadLetter]:
        return (one for one in found if one.id in chosen.ids)

    monkeypatch.setattr(dead_letters, "letters", letters)


@pytest.mark.parametrize(
    ("payload", "event_id", "kept"),
    [
        (b'{"event_id":"a:trade:1"}', "a:trade:1", True),
        (b'{"event_id":"a:trade:1"}', "a:trade:2", False),
        (b'{"event_id":"a:trade:1","price":', "a:trade:2", False),
        (b'{"price":1}', "new", True),
        (b'{"event_id":"a b"}', "a:b", True),
        (b'{"event_id":1}', "1", True),
        (b'{"event_id":"x","event_id":"y"}', "x", True),
        (None, "new", True),
    ],
)
def test_a_fix_keeps_the_event_id_that_could_be_read(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    payload: bytes | None,
    event_id: str,
    kept: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """By it a repeat is recognised; one that could not be read is given anew."""
    stored(monkeypatch, letter(payload=payload))
    file = written(tmp_path, {"id": ID, "payload": GOOD | {"event_id": event_id}})
    given = fixes.read(file)

    if kept:
        fixes.require_same_events(load(), given, file)
        return
    with pytest.raises(TicklakeError, match=r"line 1: event_id is 'a:trade:2'; the dead letter's"):
        fixes.require_same_events(load(), given, file)


def test_a_fix_of_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id with a typing error would otherwise be passed over."""
    stored(monkeypatch)
    file = written(tmp_path, {"id": ID, "payload": GOOD})

    with pytest.raises(TicklakeError, match=rf"line 1: there is no dead letter {ID}"):
        fixes.require_same_events(load(), fixes.read(file), file)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"event_id":"a"}', "a"),
        (b'\xef\xbb\xbf{"event_id": "a"}', "a"),
        (b'{"market_context":{"event_id":"inner"},"event_id":"a"}', "a"),
        (b'{"event_id" : "a", "price": NaN}', "a"),
        (b"\x00\x00\x00\x00\x01" + b'{"event_id":"a"}', "a"),
        (b'{"event_id":"a"}{"event_id":"b"}', None),
        (b'{"event_id":"a\\u0062"', None),
        (b'{"event_id":"' + b"a" * 257 + b'"}', None),
        (b"[" * 20_000, None),
        (b"", None),
        (None, None),
    ],
)
def test_an_event_id_is_read_where_there_is_one(
    payload: bytes | None, expected: str | None
) -> None:
    """Also from a value that is cut off or framed, as long as there is only one."""
    assert fixes.readable_id(payload) == expected


@pytest.mark.parametrize("case", corpus(), ids=lambda case: str(case.name))
def test_whatever_was_sent_can_be_exported_as_a_line(case: Any) -> None:  # noqa: ANN401 - a Case
    """One line, JSON, with the id; an object can be edited, other values are shown."""
    text = fixes.line(letter(payload=case.value))

    assert "\n" not in text
    assert "\r" not in text
    found = json.loads(text, parse_int=str)
    assert found["id"] == ID
    assert found["error"].startswith("out_of_range: price is 0")
    assert isinstance(found["payload"], dict) or {"text", "hex"} & set(found)


def test_an_export_keeps_what_was_sent_digit_by_digit() -> None:
    """Numbers, repeats and line breaks between fields are those of the value."""
    payload = b'{"price": 1.10000000000000000001,\n "price": 1e400, "a": "\xe2\x80\xa8"}'

    text = fixes.line(letter(payload=payload))

    assert text.endswith(
        '"payload": {"price": 1.10000000000000000001,  "price": 1e400, "a": "\u2028"}}'
    )
    with pytest.raises(ValueError, match="'price' twice"):
        ndjson.decode(text.encode())
