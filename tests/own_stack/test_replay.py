"""`ticklake replay` on the stack: what was lost comes back, and nothing else changes."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from emptied import emptied
from integration_tools import Query, query_of, with_jobs
from pyiceberg.expressions import AlwaysTrue

from connectors.errors import TicklakeError
from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.progress import await_read, committed
from connectors.sources.simulated import CENT, Instrument, Plan, Sent, simulate
from flink_jobs.run import job, jobs
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import NAMESPACE
from ticklake.replay import Replayed, replay
from ticklake.replay_ranges import Offsets, Times
from ticklake.settings import Settings
from ticklake.transform import BARS, transform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TOPIC = Tick.stream.topic or ""
READ = ("raw_trades", "raw_quotes", "feed_heartbeats", "dead_letters", "late_trades")
LIVE = "live"


def beats(settings: Settings, count: int = 2) -> None:
    """Close what is open, and let the lake know that it is complete."""
    with Publisher(settings.kafka) as publisher:
        for _ in range(count):
            clock_beats(publisher, datetime.now(UTC))
            publisher.flush()
            assert await_read(settings.kafka, job("ticks").group, TOPIC, 120)
    time.sleep(1)


def content(settings: Settings, where: str | None = None) -> dict[str, pa.Table]:
    """All rows of the tables that the topic goes to; receipts and bars too."""
    found = {}
    with connect(settings.catalog) as catalog:
        for name in (*READ, "commit_receipts", "market_bars_5s"):
            chosen = where if where and name in READ[:3] else AlwaysTrue()
            table = catalog.load_table((NAMESPACE, name))
            rows = table.scan(row_filter=chosen).to_arrow().sort_by("event_id")
            # string or large_string, as whoever wrote the files had it
            found[name] = rows.cast(table.schema().as_arrow())
    return found


def silver(query: Query) -> list[list[object]]:
    """The bars of the market, less when they were written."""
    return query(
        "SELECT source_provider, asset_pair, window_start, open, high, low, close, volume,"
        " trade_count, first_trade_id, last_trade_id, heartbeat_count, revision"
        " FROM silver.market_bars_5s WHERE source_provider = 'sim' ORDER BY 1, 2, 3"
    )


def added(done: Replayed) -> dict[str, int]:
    """Rows added, by table, where there were any."""
    return {one.table: one.added for one in done.tables if one.added}


def whole(settings: Settings) -> Offsets:
    """All that the job has committed."""
    end = committed(settings.kafka, job("ticks").group, TOPIC)
    return Offsets(dict.fromkeys(end, 0), end)


@pytest.fixture(scope="module")
def stack(servers: Settings) -> Settings:
    """Emptied for this file: what is sent to it is the market's, and all of it is replayed."""
    return with_jobs(emptied(servers), jobs())


@pytest.fixture(scope="module")
def query(stack: Settings) -> Query:
    """Ask its Trino."""
    return query_of(stack)


@pytest.fixture(scope="module")
def market(stack: Settings, query: Query) -> list[Sent]:
    """A market of the last 70 seconds: jittered, with duplicates, late trades, broken records."""
    pairs = tuple(
        Instrument("sim", f"R{n:02}USD", 100 + n, CENT, trades=12, quotes=2) for n in range(8)
    )
    plan = Plan(
        start=datetime.now(UTC) - timedelta(seconds=85),
        seconds=70,
        instruments=pairs,
        duplicates=0.05,
        malformed=0.01,
        late=0.01,
        quiet=None,
        outage=None,
        decide_every=0,
    )
    sent = list(simulate(plan))
    with Publisher(stack.kafka) as publisher:
        for number, record in enumerate(sent):
            publisher.send_raw(record.topic, record.key, record.value)
            if number % 2000 == 1999:
                publisher.flush()
                time.sleep(1)  # in several batches, so that some trades are late
    beats(stack)
    transform(stack, now=True)
    return sent


@pytest.fixture
def before(market: list[Sent], stack: Settings, query: Query) -> dict[str, Any]:
    """The content before a test loses something; the late trades have been merged."""
    return {"bronze": content(stack), "silver": silver(query)}


def lose(query: Query, table: str, where: str) -> int:
    """Delete rows; how many. Trino refuses it where Flink commits meanwhile: again, then."""
    refused = ""
    for _ in range(20):
        try:
            return int(str(query(f"DELETE FROM bronze.{table} WHERE {where}")[0][0]))
        except TicklakeError as error:
            refused = str(error)
    pytest.fail(f"no rows of bronze.{table} could be deleted: {refused}")


def test_lost_rows_come_back_and_no_other(
    before: dict[str, Any], stack: Settings, query: Query
) -> None:
    """Row for row, column for column; no bar gets a revision.

    A second run of the whole topic adds nothing: duplicates, late trades, dead letters are known.
    """
    trades = lose(query, "raw_trades", "source_provider = 'sim' AND second(timestamp) < 20")
    quotes = lose(query, "raw_quotes", "asset_pair = 'R03USD'")
    letters = lose(query, "dead_letters", '"partition" IN (0, 1, 2)')

    first = replay(stack, TOPIC, whole(stack))
    second = replay(stack, TOPIC, whole(stack))

    assert min(trades, quotes, letters) > 0
    assert added(first) == {"raw_trades": trades, "raw_quotes": quotes, "dead_letters": letters}
    assert second.added == 0
    assert sum(r.dead for r in second.receipts) == len(before["bronze"]["dead_letters"]) > 0
    assert sum(r.duplicates for r in second.receipts) > 0
    assert len(before["bronze"]["late_trades"]) > 0
    assert content(stack) == before["bronze"]
    assert silver(query) == before["silver"]
    assert query("SHOW TABLES FROM replay") == []


def test_a_part_by_time_brings_back_that_part(
    before: dict[str, Any], stack: Settings, query: Query
) -> None:
    """What arrived outside of the range stays lost until its range is replayed."""
    rows = query("SELECT min(_ingested_at), max(_ingested_at) FROM bronze.raw_trades")[0]
    begin, end = rows[0], rows[1]
    assert isinstance(begin, datetime)
    assert isinstance(end, datetime)
    middle = begin + (end - begin) / 2
    lost = lose(query, "raw_trades", "asset_pair = 'R05USD'")

    early = replay(stack, TOPIC, Times(begin, middle))
    late = replay(stack, TOPIC, Times(middle, end + timedelta(seconds=1)))

    assert early.added > 0
    assert late.added > 0
    # those among the lost that had come late are merged again from late_trades by the first
    assert early.added + late.added <= lost
    assert content(stack) == before["bronze"]
    # A bar whose trades came on both sides of the middle was half made, and seen so, in between.
    after = silver(query)
    assert [row[:12] for row in after] == [row[:12] for row in before["silver"]]
    revised = {row[1] for row, old in zip(after, before["silver"], strict=True) if row != old}
    assert revised <= {"R05USD"}


def test_into_a_branch_first(before: dict[str, Any], stack: Settings, query: Query) -> None:
    """The same content in the end; branch and staged tables are gone."""
    lost = lose(query, "raw_trades", "source_provider = 'sim' AND second(timestamp) >= 40")

    done = replay(stack, TOPIC, whole(stack), "backfill")

    assert added(done) == {"raw_trades": lost}
    assert content(stack) == before["bronze"]
    assert silver(query) == before["silver"]
    assert query('SELECT name FROM bronze."raw_trades$refs"') == [["main"]]


def test_when_a_check_fails_nothing_is_published(
    before: dict[str, Any], stack: Settings, query: Query
) -> None:
    """A doubled row in bronze: the branch stays for a look, main is as it was."""
    lose(query, "raw_trades", "asset_pair = 'R04USD'")
    one = "event_id = (SELECT min(event_id) FROM bronze.raw_trades WHERE asset_pair = 'R00USD')"
    query(f"INSERT INTO bronze.raw_trades SELECT * FROM bronze.raw_trades WHERE {one}")
    state = content(stack)
    try:
        with pytest.raises(TicklakeError, match="FOR VERSION AS OF 'look'") as told:
            replay(stack, TOPIC, whole(stack), "look")
        on_branch = query(
            "SELECT count(*) FROM bronze.raw_trades FOR VERSION AS OF 'look'"
            " WHERE asset_pair = 'R04USD'"
        )
        with pytest.raises(TicklakeError, match="nothing was published"):
            replay(stack, TOPIC, whole(stack))
        after = content(stack)
    finally:
        query(f"DELETE FROM bronze.raw_trades WHERE {one}")
    repaired = replay(stack, TOPIC, whole(stack), "look")

    assert "\n" not in str(told.value)
    assert on_branch[0][0] > 0  # type: ignore[operator]
    assert after == state
    assert repaired.added == on_branch[0][0] + 1  # type: ignore[operator]
    assert content(stack)["raw_trades"] == before["bronze"]["raw_trades"]


class Live(threading.Thread):
    """Trades and heartbeats of another venue, until it is stopped; `ids` are those sent.

    Nothing is sent while somebody else holds `pause`: a deletion that lasts longer than the time
    between two commits would be refused for ever.
    """

    def __init__(self, settings: Settings) -> None:
        """It is to be started."""
        super().__init__()
        self._settings = settings
        self._done = threading.Event()
        self.pause = threading.Lock()
        self.ids: list[str] = []

    def run(self) -> None:
        """Send a hundred trades a second."""
        with Publisher(self._settings.kafka) as publisher:
            while not self._done.wait(0.2):
                with self.pause:
                    self._send(publisher)

    def _send(self, publisher: Publisher) -> None:
        for _ in range(20):
            number = str(len(self.ids))
            tick = Tick(
                event_id=f"{LIVE}:trade:LIVEUSD:{number}",
                kind="trade",
                source_provider=LIVE,
                asset_pair="LIVEUSD",
                timestamp=datetime.now(UTC),
                price=Decimal(1),
                size=Decimal(1),
                trade_id=number,
            )
            publisher.send(tick)
            self.ids.append(tick.event_id)
        clock_beats(publisher, datetime.now(UTC) - timedelta(seconds=1))
        publisher.flush()

    def stop(self) -> None:
        """Return when the last is sent."""
        self._done.set()
        self.join()


@pytest.fixture
def live(stack: Settings) -> Iterator[Live]:
    """Live publishing goes on."""
    thread = Live(stack)
    thread.start()
    yield thread
    thread.stop()


def test_while_live_publishing_goes_on(
    before: dict[str, Any], stack: Settings, query: Query, live: Live
) -> None:
    """Neither loses or doubles a row, with a branch or without."""
    for branch in (None, "beside"):
        with live.pause:
            lost = lose(query, "raw_trades", "asset_pair = 'R06USD'")
            sent = len(live.ids)
        done = replay(stack, TOPIC, whole(stack), branch)
        assert done.added == lost > 0
        assert len(live.ids) > sent
    live.stop()
    beats(stack)
    transform(stack, now=True, only=BARS)

    rows = query(f"SELECT event_id FROM bronze.raw_trades WHERE source_provider = '{LIVE}'")
    assert len(rows) == len({row[0] for row in rows})
    assert set(live.ids) == {row[0] for row in rows}
    sim = content(stack, "source_provider = 'sim'")
    old = before["bronze"]["raw_trades"]
    assert sim["raw_trades"] == old.filter(pc.equal(old["source_provider"], "sim"))
    assert silver(query) == before["silver"]


def test_refusals_on_a_running_stack(market: list[Sent], stack: Settings) -> None:
    """Beyond the end, and a topic of another job that has committed nothing."""
    end = whole(stack).end
    far = {p: o + 1_000_000 for p, o in end.items()}
    with pytest.raises(TicklakeError, match="lies behind it"):
        replay(stack, TOPIC, Offsets(dict.fromkeys(end, 0), far))

    now = datetime.now(UTC)
    nothing = replay(stack, "ai.decisions.v1", Times(now - timedelta(hours=1), now))

    assert nothing.added == 0
    assert nothing.tables == []


def test_silver_makes_the_bars_again_that_had_been_made_without_the_rows(
    before: dict[str, Any], stack: Settings, query: Query
) -> None:
    """Bars made of a hole are repaired, one revision more; all others stay as they were."""
    lost = lose(query, "raw_trades", "asset_pair = 'R01USD'")
    query("DELETE FROM silver.market_bars_5s WHERE asset_pair = 'R01USD'")
    with_hole = silver(query)
    query(  # as if made while only heartbeats were there
        "UPDATE silver.market_bars_5s SET trade_count = 0, volume = 0, open = NULL, high = NULL,"
        " low = NULL, close = NULL, first_trade_id = NULL, last_trade_id = NULL"
        " WHERE asset_pair = 'R02USD'"
    )
    lose(query, "raw_trades", "asset_pair = 'R02USD'")

    done = replay(stack, TOPIC, whole(stack))

    after = silver(query)
    revised = [row for row in after if row[1] == "R02USD"]
    old = [row for row in before["silver"] if row[1] == "R02USD"]
    assert lost > 0
    assert "silver.market_bars_5s" in done.silver
    assert len(with_hole) < len(after)
    assert [row[:12] for row in after] == [row[:12] for row in before["silver"]]
    assert [row for row in after if row[1] not in {"R01USD", "R02USD"}] == [
        row for row in before["silver"] if row[1] not in {"R01USD", "R02USD"}
    ]
    assert [row[12] for row in revised] == [int(row[12]) + (row[8] > 0) for row in old]
