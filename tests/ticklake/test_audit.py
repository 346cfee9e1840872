"""The audit's logic without servers: chains of receipts, narrowing down, comparing a topic."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.errors import TicklakeError, UnavailableError
from connectors.events import NewsSentiment, Tick
from ticklake import queries
from ticklake.audit import receipts, tables, topics
from ticklake.audit import run as audit_run
from ticklake.audit.receipts import Receipt
from ticklake.audit.run import Check, Report
from ticklake.main import build
from ticklake.queries import Result
from ticklake.settings import load

TOPIC = NewsSentiment.stream.topic or ""


def receipt(first: int, behind: int, checkpoint: int = 1, **given: Any) -> Receipt:  # noqa: ANN401
    """A receipt of partition 0; what is not given is stored."""
    counts = {"late": 0, "duplicates": 0, "dead": 0, "records": behind - first} | given
    others = counts["late"] + counts["duplicates"] + counts["dead"]
    counts.setdefault("stored", counts["records"] - others)
    fields = {
        "topic": TOPIC,
        "partition": 0,
        "job": "events",
        "job_id": "aaaaaaaaaaaa",
        "checkpoint_id": checkpoint,
        "first_offset": first,
        "next_offset": behind,
        "adds_up": True,
    }
    return Receipt(**(fields | counts))


def chain(*bounds: tuple[int, int]) -> list[Receipt]:
    """Receipts of these ranges, one a checkpoint."""
    return [receipt(first, behind, n) for n, (first, behind) in enumerate(bounds, start=1)]


def test_ranges_that_follow_one_another_have_neither_hole_nor_overlap() -> None:
    """The end of one is the start of the next."""
    found = chain((0, 10), (10, 11), (11, 30))

    assert receipts.overlap(found) is None
    assert receipts.holes(found) == []
    assert receipts.miscounted(found) is None


def test_an_overlap_is_named_with_both_checkpoints() -> None:
    """Offsets that two receipts cover were read twice."""
    said = receipts.overlap(chain((0, 10), (10, 30), (20, 40)))

    assert said == (
        f"{TOPIC} partition 0: offsets 20 to 29 were read twice, rewound: by checkpoint 2 of job "
        "events (aaaaaaaa) and by checkpoint 3 of job events (aaaaaaaa)"
    )


def test_a_range_inside_another_is_an_overlap() -> None:
    """Only what both cover is named."""
    assert "offsets 5 to 7 " in (receipts.overlap(chain((0, 10), (5, 8))) or "")


def test_holes_are_found_behind_a_longer_range_too() -> None:
    """The farthest offset reached counts, not the last receipt's."""
    assert receipts.holes(chain((0, 10), (2, 5), (12, 20), (20, 21), (30, 31))) == [
        (10, 12),
        (21, 30),
    ]
    assert receipts.holes([]) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (receipt(0, 10, stored=9), "counts 10 records, but 9 outcomes"),
        (receipt(0, 10, adds_up=False), "counts 10 records, but 10 outcomes"),
        (receipt(0, 10, records=11), "counts 11 records at 10 offsets"),
    ],
)
def test_a_receipt_that_does_not_add_up_is_named(bad: Receipt, words: str) -> None:
    """Fewer outcomes than records, a part of it that does not add up, more records than offsets."""
    said = receipts.miscounted([receipt(0, 10), bad, receipt(20, 30)]) or ""

    assert said.startswith(f"{TOPIC} partition 0, offsets 0 to 9: the receipt of checkpoint 1")
    assert words in said


def test_fewer_records_than_offsets_are_no_fault_of_a_receipt() -> None:
    """A transaction's marker is an offset without a record; Kafka tells later."""
    assert receipts.miscounted([receipt(0, 10, records=8)]) is None


class Trino:
    """Answers count_rows.sql from the offsets that it holds."""

    def __init__(self, offsets: list[int]) -> None:
        """Rows of partition 0 at these offsets."""
        self.offsets = offsets
        self.asked = 0

    def run(self, _: object, statement: str, values: Any = ()) -> Result:  # noqa: ANN401
        """Count by partition; no dead letter."""
        self.asked += 1
        rows = []
        for partition, first, behind in zip(*map(json.loads, values[:3]), strict=True):
            held = sum(first <= offset < behind for offset in self.offsets)
            if held and "dead_letters" not in statement:
                rows.append([partition, held])
        return Result((), (), rows)


@pytest.mark.parametrize("at", [0, 9, 10, 555, 990, 999])
def test_a_missing_row_is_narrowed_down_to_its_receipt(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """By halves: of a hundred receipts the one that covers the offset."""
    trino = Trino([offset for offset in range(1000) if offset != at])
    monkeypatch.setattr(queries, "run", trino.run)
    found = chain(*((n, n + 10) for n in range(0, 1000, 10)))

    done = tables.compare(load(), NewsSentiment, {0: found}, from_start=True)

    first = at // 10 * 10
    assert done.rows == 999
    assert done.difference == (
        f"{TOPIC} partition 0, offsets {first} to {first + 9}: 9 rows in "
        "bronze.raw_news_sentiment are too few; the receipt of checkpoint "
        f"{first // 10 + 1} of job events (aaaaaaaa) counts 10 stored"
    )
    assert trino.asked < 12


def test_rows_in_a_hole_or_before_the_first_receipt_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No receipt counts them."""
    found = chain((100, 110), (120, 130))
    rows = [*range(100, 110), *range(120, 130)]
    settings = load()

    monkeypatch.setattr(queries, "run", Trino([*rows, 115]).run)
    hole = tables.compare(settings, NewsSentiment, {0: found}, from_start=True).difference
    monkeypatch.setattr(queries, "run", Trino([*rows, 7]).run)
    before = tables.compare(settings, NewsSentiment, {0: found}, from_start=True).difference
    since = tables.compare(settings, NewsSentiment, {0: found}, from_start=False).difference

    assert "offsets 120 to 129 (from offset 110 on): " in (hole or "")
    assert "11 rows in bronze.raw_news_sentiment are too many" in (hole or "")
    assert "offsets 100 to 109 (from offset 0 on): " in (before or "")
    assert since is None


class Kafka:
    """A topic of one partition in memory."""

    def __init__(self, records: dict[int, bytes | None], begin: int = 0) -> None:
        """Offset to value."""
        self.held = records
        self.begin = begin

    def kept(self, _: str) -> dict[int, tuple[int, int]]:
        """All of it."""
        return {0: (self.begin, max(self.held, default=-1) + 1)}

    def records(
        self, _: str, __: int, first: int, behind: int
    ) -> Iterator[tuple[int, bytes | None]]:
        """In order."""
        yield from ((o, v) for o, v in sorted(self.held.items()) if first <= o < behind)


def news(event_id: str) -> bytes:
    """A record of the topic, as far as the audit reads it."""
    return json.dumps({"event_id": event_id, "timestamp": "2026-01-31T09:30:00.123456Z"}).encode()


def compared(
    monkeypatch: pytest.MonkeyPatch, records: dict[int, bytes | None], rows: list[list[object]]
) -> str | None:
    """The difference between records and rows (offset, event id, table)."""

    def stream(_: object, statement: str, values: Any) -> Iterator[list[object]]:  # noqa: ANN401
        if "split(" in statement:
            asked = values[0].split(" ")
            yield from ([row[1]] for row in rows if row[1] in asked)
        else:
            _, first, behind, *_ = values
            yield from (row for row in rows if first <= int(str(row[0])) < behind)

    monkeypatch.setattr(queries, "stream", stream)
    reader: Any = Kafka(records)
    behind = max(*records, *(int(str(row[0])) for row in rows)) + 1
    covered = [receipt(0, behind, records=len(records))]
    found = list(topics.Comparison(load(), reader, NewsSentiment).run(covered))
    assert sum(one.offsets for one in found) == behind or found[-1].difference
    return next((one.difference for one in found if one.difference), None)


NEWS = "raw_news_sentiment"
RECORDS: dict[int, bytes | None] = {
    0: news("a"),
    1: b"{broken",
    2: news("b"),
    3: news("a"),
    250_000: news("b"),
    250_001: None,
}
ROWS: list[list[object]] = [
    [0, "a", NEWS],
    [1, None, "dead_letters"],
    [2, "b", NEWS],
    [250_001, None, "dead_letters"],
]


def test_rows_dead_letters_and_copies_account_for_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy near its original, one far behind it, and many offsets without a record."""
    assert compared(monkeypatch, RECORDS, ROWS) is None


@pytest.mark.parametrize(
    ("without", "instead", "words"),
    [
        (2, [], "offset 2: event b is in the topic, and neither in a table nor"),
        (1, [], "offset 1: the record is no event, and it is no dead letter"),
        (0, [0, "z", NEWS], f"offset 0: bronze.{NEWS} holds event z from there, and the record is"),
        (0, [1, "a", NEWS], f"offset 1: bronze.{NEWS} holds event a from there, and the record is"),
        (9, [170_000, "c", NEWS], f"offset 170000: bronze.{NEWS} holds event c from there, and"),
    ],
)
def test_what_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, without: int, instead: list[object], words: str
) -> None:
    """Missing, not dead, another event's row, a row without a record."""
    rows = [row for row in ROWS if row[0] != without] + ([instead] if instead else [])

    assert words in (compared(monkeypatch, RECORDS, rows) or "")


def test_a_hole_is_a_fault_only_where_kafka_has_a_record() -> None:
    """Not where retention or a transaction left none."""
    covered = chain((0, 10), (20, 30))
    empty: Any = Kafka({5: b"", 25: b""})
    recorded: Any = Kafka({5: b"", 13: b"", 25: b""})
    expired: Any = Kafka({5: b"", 13: b"", 25: b""}, begin=22)

    assert topics.recorded_hole(empty, covered, [(10, 20)]) is None
    assert topics.recorded_hole(expired, covered, [(10, 20)]) is None
    assert "offset 13: Kafka has a record there, and no receipt covers offsets 10 to 19" in (
        topics.recorded_hole(recorded, covered, [(10, 20)]) or ""
    )


def test_only_receipts_that_kafka_has_whole_are_compared() -> None:
    """The first offset kept lies in the second."""
    found = chain((0, 10), (10, 20), (20, 30))

    assert topics.whole(found, 11) == found[2:]
    assert topics.whole(found, 31) == []


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        (["proven", "proven"], 0),
        (["proven", "unknown"], 3),
        (["unknown", "difference"], 1),
    ],
)
def test_the_exit_code_never_takes_unknown_for_a_proof(outcomes: list[Any], code: int) -> None:
    """A difference counts more than what could not be told."""
    checks = [Check("one", outcome=outcome, said="word") for outcome in outcomes]
    report = Report(None, [], checks)

    assert report.exit_code == code
    assert (report.difference is None) == (code != 1)


def test_an_unknown_topic_is_refused_before_any_server_is_asked() -> None:
    """With the topics that there are."""
    with pytest.raises(TicklakeError, match=r"'nonsense'.*market\.ticks\.v1"):
        audit_run.audit(load(), topic="nonsense")


def test_no_settled_receipt_is_not_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, with the way out."""
    monkeypatch.setattr(queries, "stream", lambda *_: iter(()))

    with pytest.raises(UnavailableError, match="no receipt of a settled checkpoint since 2026"):
        audit_run.audit(load(), since=datetime(2026, 1, 1, tzinfo=UTC))


def test_the_command_prints_json_and_ends_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """For programs: the first difference, and what was looked at."""
    report = Report(None, [], [Check("each event once", "3 rows", "difference", "twice")])
    monkeypatch.setattr(audit_run, "audit", lambda *_, **__: report)

    done = CliRunner().invoke(build(), ["audit", "--topic", Tick.stream.topic or "", "--json"])

    assert done.exit_code == 1
    assert json.loads(done.stdout)["difference"] == "twice"
    assert json.loads(done.stdout)["checks"][0]["checked"] == "3 rows"


def test_the_command_shows_the_first_difference_as_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And a table of what was looked at."""
    report = Report(None, [], [Check("each event once", "3 rows", "difference", "twice there")])
    monkeypatch.setattr(audit_run, "audit", lambda *_, **__: report)

    done = CliRunner().invoke(build(), ["audit"])

    assert done.exit_code == 1
    assert "difference: twice there" in done.stdout
    assert "3 rows" in done.stdout
