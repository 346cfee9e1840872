"""What is sent again, what is kept back, and what is noted."""

import hashlib
import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from letters import AT, letter

from connectors.errors import TicklakeError, UnavailableError
from connectors.events import DeadLetterReplay
from ticklake import dead_letter_replay as replay
from ticklake import dead_letters, fixes
from ticklake.commands import dlq
from ticklake.dead_letter_replay import Options, Replayed
from ticklake.dead_letters import DeadLetter, Selection
from ticklake.settings import load
from ticklake.views import MOST_ATTEMPTS

SETTINGS = load()
EVENT = (
    b'{"event_id":"a:heartbeat:1","kind":"heartbeat","source_provider":"a",'
    b'"asset_pair":"BTCUSD","timestamp":"2026-01-31T09:30:00Z"}'
)


@dataclass
class World:
    """The lake, the broker and the catalog as a replay sees them."""

    letters: list[DeadLetter]
    records: list[tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]] = field(
        default_factory=list
    )
    noted: list[DeadLetterReplay] = field(default_factory=list)
    break_at: int | None = None
    catalog_is_down: bool = False

    def __enter__(self) -> Self:
        """As a publisher."""
        return self

    def __exit__(self, *_: object) -> None:
        """As a publisher."""

    def send_again(
        self,
        topic: str,
        key: bytes | None,
        value: bytes,
        headers: list[tuple[str, bytes]],
        stored: Callable[[int, int], object],
    ) -> None:
        """Take a record, as the broker would."""
        if len(self.records) == self.break_at:
            raise UnavailableError("the broker went away")
        self.records.append((topic, key, value, headers))
        stored(3, 100 + len(self.records))

    def flush(self) -> None:
        """All is delivered already."""

    def chosen(self, _: object, chosen: Selection) -> Iterator[DeadLetter]:
        """The dead letters of a selection."""
        for one in self.letters:
            if (not chosen.statuses or one.status in chosen.statuses) and (
                not chosen.ids or one.id in chosen.ids
            ):
                yield one

    def append(self, _: object, name: str, rows: list[DeadLetterReplay]) -> None:
        """Note rows in the lake."""
        assert name == "dead_letter_replays"
        if self.catalog_is_down:
            raise UnavailableError("no catalog")
        self.noted += rows


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """No server at all."""
    found = World([])

    def count(_: object, chosen: Selection) -> dict[tuple[str, str], int]:
        return Counter((one.topic, one.status) for one in found.chosen(None, chosen))

    @contextmanager
    def no_faults(_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(dead_letters, "letters", found.chosen)
    monkeypatch.setattr(dead_letters, "count", count)
    for name, stand_in in {
        "Publisher": lambda _: found,
        "append": found.append,
        "require": lambda *_: None,
        "connect": lambda _: nullcontext(),
        "closing": lambda it: it,
        "faults": no_faults,
    }.items():
        monkeypatch.setattr(replay, name, stand_in)
    return found


def run(options: Options) -> Replayed:
    """Replay all that there is."""
    return replay.replay(SETTINGS, replay.plan(SETTINGS, Selection(), options))


def test_a_topic_that_is_no_more_is_refused_before_anything_is_sent(world: World) -> None:
    """The message says how to leave it out."""
    world.letters = [letter(1), letter(2, topic="nix.v1")]

    with pytest.raises(TicklakeError, match=r"some came from nix\.v1, .* choose by --topic"):
        run(Options())

    assert world.records == []


def test_key_bytes_and_headers_go_back_unchanged(world: World) -> None:
    """With two headers behind its own, and a row that holds the place."""
    world.letters = [letter(payload=EVENT, headers=[("trace", b"1"), ("trace", b"2")], attempts=2)]

    done = run(Options())

    assert done.sent == {"market.ticks.v1": 1}
    ((topic, key, value, more),) = world.records
    assert (topic, key, value) == ("market.ticks.v1", b"BTCUSD", EVENT)
    assert more == [
        ("trace", b"1"),
        ("trace", b"2"),
        ("ticklake-dead-letter", b"market.ticks.v1:0:42"),
        ("ticklake-attempt", b"3"),
    ]
    (row,) = world.noted
    assert row.event_id == "market.ticks.v1:3:101"
    assert (row.dead_letter_id, row.attempt) == ("market.ticks.v1:0:42", 3)
    assert (row.topic, row.partition, row.offset) == ("market.ticks.v1", 3, 101)
    assert row.value_sha256 == hashlib.sha256(EVENT).hexdigest()
    assert (row.sent_event_id, row.sent_event_time, row.fixed) == ("a:heartbeat:1", AT, False)


def test_what_is_still_bad_is_noted_with_the_id_that_can_be_read(world: World) -> None:
    """It may be that the job takes what a file may not hold."""
    world.letters = [letter()]

    run(Options())

    assert world.noted[0].sent_event_id == "a:trade:1"
    assert world.noted[0].sent_event_time is None


@pytest.mark.parametrize("status", ["replayed", "duplicate", "failed_again", "sent"])
def test_what_is_settled_or_under_way_is_not_sent_again(world: World, status: str) -> None:
    """It is counted; one that is under way can be sent again by a word."""
    world.letters = [letter(status=status)]

    done = run(Options())
    again = run(Options(again=True))

    assert (done.sent, done.settled) == ({}, {status: 1})
    assert again.sent == ({"market.ticks.v1": 1} if status == "sent" else {})


def test_what_was_tried_often_is_parked_with_its_reason(world: World) -> None:
    """A higher limit sends it."""
    world.letters = [letter(1, attempts=5, status="parked"), letter(2, attempts=4)]

    done = run(Options())
    more = run(Options(most_attempts=6))

    assert done.sent == {"market.ticks.v1": 1}
    (parked,) = done.parked
    assert parked.id == "market.ticks.v1:0:1"
    assert parked.reason == (
        "sent again 5 times; the last gave out_of_range: price is 0; it must be above 0"
    )
    assert more.sent == {"market.ticks.v1": 2}


@pytest.mark.parametrize(
    ("payload", "why"), [(None, "empty"), (b"", "empty"), (b" " * 1_000_000, "oversized")]
)
def test_what_cannot_be_sent_is_listed(world: World, payload: bytes | None, why: str) -> None:
    """One such record does not stop the others."""
    world.letters = [letter(1, payload=payload), letter(2)]

    done = run(Options())

    assert [(kept.id, kept.why) for kept in done.unsendable] == [("market.ticks.v1:0:1", why)]
    assert done.sent == {"market.ticks.v1": 1}


def test_a_fix_is_sent_in_the_stead_of_its_dead_letter(world: World, tmp_path: Path) -> None:
    """Only those with a fix, also what had no value; the key is that of the event."""
    file = tmp_path / "fix.ndjson"
    file.write_bytes(b'{"id":"market.ticks.v1:0:2","payload":' + EVENT + b"}")
    world.letters = [letter(1), letter(2, payload=None, key=None, headers=[("trace", b"1")])]

    done = run(Options(fixes=fixes.read(file)))

    assert done.sent == {"market.ticks.v1": 1}
    _, key, value, more = world.records[0]
    assert key == b"BTCUSD"
    assert b'"timestamp":"2026-01-31T09:30:00.000000Z"' in value
    assert more[0] == ("trace", b"1")
    assert (world.noted[0].fixed, world.noted[0].sent_event_time) == (True, AT)


def test_what_arrived_before_a_break_is_noted(world: World) -> None:
    """The rest stays open."""
    world.letters = [letter(n) for n in range(10)]
    world.break_at = 4

    with pytest.raises(UnavailableError, match="the broker went away"):
        run(Options())

    assert [row.dead_letter_id for row in world.noted] == [one.id for one in world.letters[:4]]


def test_what_could_not_be_noted_is_said(world: World) -> None:
    """It stays open, and sending it again is harmless."""
    world.letters = [letter(1), letter(2)]
    world.catalog_is_down = True

    with pytest.raises(UnavailableError, match=r"2 records were sent and not noted .* harmless"):
        run(Options())


def test_many_are_sent_in_bounded_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the bytes of all of them."""
    flushed: list[Any] = []
    monkeypatch.setattr(world, "flush", lambda: flushed.append(len(world.records)))
    world.letters = [letter(n) for n in range(2_500)]

    run(Options())

    assert flushed == [1000, 2000, 2500]
    assert len(world.noted) == 2500


def test_the_command_parks_as_the_view_does() -> None:
    """The default of --max-attempts stands in the help, which must not load the rest."""
    default = inspect.signature(dlq.replay).parameters["max_attempts"].default

    assert default == MOST_ATTEMPTS
