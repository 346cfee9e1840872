"""A file given to `publish`, or to `dlq replay --fix`, is judged as the job judges the wire."""

from contextlib import suppress

import pytest
from poison import GOOD, Case, corpus, with_raw

from connectors.events import AIDecision
from connectors.ndjson import Reader
from connectors.stream import columns
from connectors.words import event_names

CASES = corpus()
JUDGED = [case for case in CASES if not case.on_the_wire and case.value is not None]


def test_each_case_has_a_name_and_an_id_of_its_own() -> None:
    """A fault in a report leads to one record."""
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({case.event_id for case in CASES}) == len(CASES)


def test_every_column_of_every_event_is_given_a_wrong_type() -> None:
    """A new field is in the corpus without a change here."""
    named = {case.name.partition(" is ")[0] for case in CASES if case.code == "wrong_type"}

    assert set(GOOD) == set(event_names().values())
    for event in GOOD:
        assert {f"{event.__name__}.{column.name}" for column in columns(event)} <= named


@pytest.mark.parametrize("case", JUDGED, ids=lambda case: str(case.name))
def test_a_file_may_hold_what_the_job_stores_and_nothing_else(case: Case) -> None:
    """Bad input is an error of one line that a person can act on, never a crash."""
    reader = Reader(case.event)
    assert case.value is not None
    if case.code is None:
        assert reader.parse(case.value).event.event_id == case.event_id
        return

    with pytest.raises(ValueError, match=r"^[^\n]{5,500}$"):
        reader.parse(case.value)


@pytest.mark.parametrize("depth", [1, 900, 990, 1000, 1100, 5000, 100_000])
@pytest.mark.parametrize("field", [None, "reasoning", "market_context"])
def test_depth_is_never_a_crash(depth: int, field: str | None) -> None:
    """Whatever part of the reader meets its own limit first."""
    raw = b"[" * depth + b"]" * depth
    line = with_raw(AIDecision, "deep", field, b'{"a":' + raw + b"}") if field else raw

    with suppress(ValueError):
        Reader(AIDecision).parse(line)
