"""The committed JSON Schemas and the data dictionary."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connectors import schemas
from connectors.errors import TicklakeError
from connectors.events import Tick
from connectors.stream import Event

EVENTS = schemas.on_the_wire()


def named(event: type[Event]) -> str:
    """The event's name, for the test's id."""
    return event.__name__


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_the_declaration_does_not_break_the_committed_schema(event: type[Event]) -> None:
    """Whoever reads or writes the topic as committed still can."""
    schemas.require_compatible(event)


@pytest.mark.parametrize("event", EVENTS, ids=named)
def test_the_committed_schema_is_fresh(event: type[Event]) -> None:
    """The file is what `make generate` writes."""
    assert schemas.render_schema(event) == (schemas.FOLDER / schemas.file_name(event)).read_text()


def test_no_schema_is_left_over() -> None:
    """Each file has an event."""
    assert {schemas.file_name(event) for event in EVENTS} == {
        file.name for file in schemas.FOLDER.iterdir()
    }


def test_the_data_dictionary_is_fresh() -> None:
    """EVENTS.md is what `make generate` writes."""
    assert schemas.render_dictionary() == schemas.DICTIONARY.read_text()


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "remove": lambda new: new["properties"].pop("trade_id"),
    "rename": lambda new: new["properties"].update(last=new["properties"].pop("price")),
    "require": lambda new: new["required"].append("trade_id"),
    "relax": lambda new: new["required"].remove("kind"),
    "enum": lambda new: new["properties"]["kind"]["enum"].remove("quote"),
    "scale": lambda new: new["properties"]["price"].update({"x-decimal": "decimal(18, 6)"}),
    "digits": lambda new: new["properties"]["price"].update({"x-decimal": "decimal(16, 8)"}),
    "limit": lambda new: new["properties"]["size"].update({"x-least": "1"}),
    "length": lambda new: new["properties"]["trade_id"].update(maxLength=10),
    "type": lambda new: new["properties"]["venue_sequence"].update(type="string"),
    "key": lambda new: new.update({"x-key": "source_provider"}),
    "kind": lambda new: new["allOf"][0]["then"]["required"].append("trade_id"),
}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("remove", "trade_id was removed or renamed"),
        ("rename", "price was removed or renamed"),
        ("require", "trade_id is newly required"),
        ("relax", "kind is no longer required"),
        ("enum", "kind no longer allows quote"),
        ("scale", "price changed from decimal(18, 8) to decimal(18, 6)"),
        ("digits", "price changed from decimal(18, 8) to decimal(16, 8)"),
        ("limit", "size has a tighter least: 0 to 1"),
        ("length", "trade_id has a tighter maxLength: 256 to 10"),
        ("type", "venue_sequence changed from integer to string"),
        ("key", "x-key changed from asset_pair to source_provider"),
        ("kind", "trade_id is newly required where"),
    ],
)
def test_a_breaking_change_is_found(edit: str, said: str) -> None:
    """Each way to break a reader or a writer is named."""
    new = copy.deepcopy(schemas.schema(Tick))
    EDITS[edit](new)

    found = schemas.breaking_changes(schemas.schema(Tick), new)

    assert any(said in change for change in found), found


def test_a_new_optional_field_breaks_nothing() -> None:
    """The one way to evolve an event."""
    new = copy.deepcopy(schemas.schema(Tick))
    new["properties"]["liquidity"] = {"type": "string"}

    assert not schemas.breaking_changes(schemas.schema(Tick), new)


def test_a_break_says_how_to_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the way out: a new version of the topic, readers first."""
    old = schemas.schema(Tick)
    old["properties"]["venue"] = {"type": "string"}
    (tmp_path / schemas.file_name(Tick)).write_text(json.dumps(old))
    monkeypatch.setattr(schemas, "FOLDER", tmp_path)

    with pytest.raises(TicklakeError, match=r"venue was removed.*\.v2.*then move the writers"):
        schemas.write()
