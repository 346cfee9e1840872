"""`ticklake replay` without servers: ranges, the bounded job's statements, one-line faults."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.errors import TicklakeError
from connectors.held import Held, Topic
from flink_jobs.job import Bounds
from flink_jobs.run import configuration, job
from flink_jobs.settings import JobSettings
from ticklake import main
from ticklake.replay import reader
from ticklake.replay_merge import Merge, _spans, branch_name
from ticklake.replay_ranges import Offsets, Range, Times, asked, resolve
from ticklake.settings import LocalSettings, load

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TOPIC = "market.ticks.v1"
FOUND = Topic({0: Held(10, 500, NOW - timedelta(hours=3)), 1: Held(0, 400, None)}, {})


def by_time(since: dict[datetime, dict[int, int]]) -> Topic:
    """The topic, with what was found for moments."""
    return Topic(FOUND.partitions, since)


def test_times_are_spans_or_iso() -> None:
    """Both ends are read the same way."""
    found = asked("2h", "2026-11-25T12:30:00+01:00", None, None, NOW)

    assert found == Times(NOW - timedelta(hours=2), NOW - timedelta(minutes=30))


def test_offsets_are_pairs() -> None:
    """Partition and offset."""
    assert asked(None, None, "0:10,1:0", "0:500,1:400", NOW) == Offsets(
        {0: 10, 1: 0}, {0: 500, 1: 400}
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((None, None, None, None), "say either --from and --to, or --from-offsets"),
        (("2h", None, None, None), "say either"),
        (("2h", "1h", "0:1", "0:2"), "say either"),
        ((None, None, "0:1", None), "say either"),
        (("1h", "2h", None, None), "--from 1h is not before --to 2h"),
        (("1h", "1h", None, None), "is not before"),
        (("1h", "noon", None, None), "--to 'noon' is no time; allowed are 30m"),
        (("2026-11-25T10:00:00", "1h", None, None), "--from .* is no time"),
        ((None, None, "0:5", "0:4"), "partition 0: --from-offsets 5 is behind --to-offsets 4"),
        ((None, None, "0:5", "1:6"), "names the partitions 0 and --to-offsets 1"),
        ((None, None, "0=5", "0:6"), "'0=5' names no offsets; allowed are pairs such as"),
        ((None, None, "0:-5", "0:6"), "names no offsets"),
        ((None, None, "0:5,0:6", "0:6"), "names a partition twice"),
    ],
)
def test_what_does_not_belong_together_is_refused(
    given: tuple[str | None, str | None, str | None, str | None], said: str
) -> None:
    """One line, that says what is allowed."""
    with pytest.raises(TicklakeError, match=said) as told:
        asked(*given, NOW)

    assert "\n" not in str(told.value)


def test_a_range_ends_where_the_job_has_committed() -> None:
    """What is behind that is under way, and told; a partition that it never read is empty."""
    wanted = Offsets({0: 100, 1: 5}, {0: 500, 1: 400})

    found = resolve(TOPIC, wanted, FOUND, {0: 450})

    assert found == [Range(0, 100, 450, 500), Range(1, 5, 5, 400)]
    assert found[0].line() == (
        "partition 0: offsets 100 to 450, 350 records; what is behind 450 is still under way"
    )


def test_times_become_offsets() -> None:
    """The first offset that was appended then or later."""
    times = Times(NOW - timedelta(hours=2), NOW)
    since = {times.start: {0: 100, 1: 400}, times.end: {0: 500, 1: 400}}

    assert resolve(TOPIC, times, by_time(since), {0: 500, 1: 400}) == [
        Range(0, 100, 500, 500),
        Range(1, 400, 400, 400),
    ]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Offsets({0: 9}, {0: 20}), "no longer has offset 9 of partition 0; it begins at 10"),
        (Offsets({0: 10}, {0: 501}), "ends at offset 500 of partition 0; 501 lies behind it"),
        (Offsets({7: 0}, {7: 1}), "has no partition 7; it has 0, 1"),
    ],
)
def test_what_the_topic_has_not_is_refused(wanted: Offsets, said: str) -> None:
    """Before any job is started."""
    with pytest.raises(TicklakeError, match=said):
        resolve(TOPIC, wanted, FOUND, {0: 500, 1: 400})


def test_a_time_before_the_retention_is_refused() -> None:
    """What was deleted may have come since then; the message says from when on all is there."""
    times = Times(NOW - timedelta(hours=4), NOW)
    since = {times.start: {0: 10, 1: 0}, times.end: {0: 500, 1: 400}}

    with pytest.raises(TicklakeError, match=r"no longer has all .* from 2026-11-25T09:00:00"):
        resolve(TOPIC, times, by_time(since), {0: 500})


@pytest.mark.parametrize("topic", ["market.bars-5s.v1", "market.ticks.v1.dlq", "nothing.v1"])
def test_a_topic_that_no_job_reads_is_refused(topic: str) -> None:
    """No server is asked for that."""
    with pytest.raises(TicklakeError, match=r"no job reads the topic .*market\.ticks\.v1"):
        reader(topic)


@pytest.mark.parametrize("name", ["main", "", "a b", "x'; --", "-x", "a" * 65])
def test_a_branch_has_a_plain_name(name: str) -> None:
    """It is written into SQL, where no value can be bound."""
    with pytest.raises(TicklakeError, match="cannot be the branch"):
        branch_name(name)


def test_a_bounded_job_writes_into_its_own_tables_and_no_topic() -> None:
    """The same statements for the same tables, less bars and dead-letter topics."""
    bounds = Bounds(TOPIC, {0: 5, 2: 0}, {0: 9, 2: 7}, "replay")
    bounded = job("ticks").bounded(Bounds.parse(bounds.text()))
    statements = bounded.statements(JobSettings())
    inserts = [s for s in statements if s.startswith("INSERT")]

    assert bounded.bounds == bounds
    assert [s.split()[2] for s in inserts] == [
        f"`lake`.`replay`.{name}"
        for name in (
            "raw_trades",
            "late_trades",
            "raw_quotes",
            "feed_heartbeats",
            "dead_letters",
            "commit_receipts",
        )
    ]
    live = job("ticks").statements(JobSettings())
    assert {s.replace("`replay`", "`bronze`") for s in inserts} <= set(live)
    assert not any(name in s for s in statements for name in ("topic_bar5s` (", ".dlq'"))
    (source,) = [s for s in statements if "TABLE `source_" in s]
    assert "'from' = '0:5,2:0'" in source
    assert "'to' = '0:9,2:7'" in source
    assert "'properties.group.id' = 'ticklake-ticks-replay'" in source
    assert "'job' = 'ticks-replay'" in source


def test_a_bounded_job_reads_one_topic_of_many() -> None:
    """The other five topics of `events` are left alone, and its state is its own."""
    bounded = job("events").bounded(Bounds("ai.decisions.v1", {0: 0}, {0: 1}, "replay"))
    options = configuration(bounded, JobSettings())

    assert [t.name for t in bounded.staged()] == [
        "raw_ai_decisions",
        "dead_letters",
        "commit_receipts",
    ]
    assert options["pipeline.name"] == "events-replay"
    assert options["execution.checkpointing.dir"].endswith("/checkpoints/events-replay")
    assert options["restart-strategy.type"] == "fixed-delay"
    live = configuration(job("events"), JobSettings())
    assert live["restart-strategy.type"] == "exponential-delay"
    with pytest.raises(TicklakeError, match=r"job events does not read market\.ticks\.v1"):
        job("events").bounded(Bounds(TOPIC, {}, {}, "replay"))


def test_late_rows_go_where_their_merge_would_put_them(tmp_path: Path) -> None:
    """Each bronze table but the landing one has a table for what is missing."""
    settings = load(local=LocalSettings(home=tmp_path))
    bounded = job("ticks").bounded(Bounds(TOPIC, {0: 0}, {0: 1}, "replay"))

    names = [name for name, _ in Merge(settings, bounded, None).staging()]

    assert [n for n in names if n.endswith("_missing")] == [
        "raw_trades_missing",
        "raw_quotes_missing",
        "feed_heartbeats_missing",
        "dead_letters_missing",
    ]
    assert "late_trades" in names


def test_days_are_as_few_stretches_as_there_are() -> None:
    """A hole of a year is not read; too many holes are."""
    day = date(2026, 11, 24)
    two = _spans([date(2019, 10, 11), day, day + timedelta(days=1)])

    assert [(b.date(), e.date()) for b, e in two] == [
        (date(2019, 10, 11), date(2019, 10, 12)),
        (day, day + timedelta(days=2)),
    ]
    assert len(_spans([day + timedelta(days=2 * n) for n in range(51)])) == 1


def test_the_command_refuses_before_it_asks_a_server() -> None:
    """An unknown topic and a range that is none are told at once."""
    for options in (["--topic", "x", "--from", "2h", "--to", "1h"], ["--topic", TOPIC]):
        done = CliRunner().invoke(main.build(), ["replay", *options])

        assert isinstance(done.exception, TicklakeError)
        assert done.exception.exit_code == 2
