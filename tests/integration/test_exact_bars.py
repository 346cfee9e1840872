"""Bars are exact: against an exchange's own, and against a recomputation from what was sent.

The tests build on one another in this order, for event time only moves forward: a tape of 2019 on
a fresh stack; then a market of today; then the tape again, for another venue, wholly late.
"""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from integration_tools import Query, read_topic
from pyiceberg.table import Table
from real_tape import exchange_bars, write_tape

from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.progress import await_read
from connectors.sources.simulated import CENT, Instrument, Plan, Sent, simulate
from flink_jobs.cluster import Cluster
from flink_jobs.run import job
from iceberg_catalog.catalog import connect
from ticklake.publish import Clock, Sender, checked
from ticklake.settings import Settings
from ticklake.transform import transform

pytestmark = pytest.mark.integration

TICKS = 200_000


def publish(settings: Settings, file: Path) -> int:
    """What `ticklake publish FILE --final` does."""
    clock = Clock()
    with checked(file, "tick") as found, Publisher(settings.kafka) as publisher:
        sender = Sender(publisher, None, clock)
        count = list(sender.send(found))[-1]
        assert sender.close(
            found,
            settings.flink,
            lambda: await_read(settings.kafka, job("ticks").group, Tick.stream.topic or "", 120),
        )
    return count


def await_count(query: Query, statement: str, expected: int, seconds: float = 90) -> None:
    """Wait until a count is reached; more is a failure too."""
    deadline = time.monotonic() + seconds
    found: object = None
    while time.monotonic() < deadline:
        found = query(statement)[0][0]
        if found == expected:
            return
        time.sleep(1)
    pytest.fail(f"{statement}: {found} instead of {expected}")


def rolled_up(query: Query, table: str, venue: str, seconds: int) -> dict[int, tuple[Decimal, ...]]:
    """The 5-second bars of a table, rolled up."""
    rows = query(
        f"""
        SELECT CAST(floor(to_unixtime(window_start) / {seconds}) AS bigint) * {seconds} AS begin,
          min_by(open, window_start), max(high), min(low), max_by(close, window_start), sum(volume)
        FROM {table} WHERE source_provider = '{venue}' AND trade_count > 0 GROUP BY 1"""
    )
    return {int(row[0]): tuple(row[1:]) for row in rows}  # type: ignore[call-overload, misc]


def assert_exact(query: Query, folder: Path, table: str, venue: str) -> None:
    """Every bar of the exchange inside the tape's span, with Decimal equality; no other."""
    for timeframe, seconds, count in (("1m", 60, 2469), ("5m", 300, 706)):
        ours = rolled_up(query, table, venue, seconds)
        first, last = min(ours), max(ours)
        theirs = {
            at: bar for at, bar in exchange_bars(folder, timeframe).items() if first <= at <= last
        }

        assert count == len(theirs)
        assert theirs == ours


@pytest.fixture(scope="module")
def published(
    stack: Settings, query: Query, tmp_path_factory: pytest.TempPathFactory
) -> Path | None:
    """The tape is published on the fresh stack and closed; None where there is no tape."""
    folder = Path(__file__).parents[2].parent / "shared" / "data" / "real"
    if not folder.is_dir():
        return None
    file = tmp_path_factory.mktemp("tape") / "tape.ndjson"
    count = write_tape(folder, file, "binance")
    publish(stack, file)
    await_count(query, "SELECT count(*) FROM bronze.raw_trades", count)
    await_count(query, "SELECT coalesce(sum(trade_count), 0) FROM bronze.market_bars_5s", count)
    return folder


@pytest.fixture
def tape(published: Path | None) -> Path:
    """The folder of the published tape."""
    if published is None:
        pytest.skip("the real tape is not beside the checkout")
    return published


def test_streaming_bars_of_a_real_tape_are_the_exchange_s_own(tape: Path, query: Query) -> None:
    """On a fresh stack the first answer, from the stream, is exact already."""
    assert_exact(query, tape, "bronze.market_bars_5s", "binance")


def test_publishing_the_tape_again_changes_nothing(
    tape: Path, stack: Settings, query: Query, tmp_path: Path
) -> None:
    """The ids are known: no row more, no bar more, no revision."""
    transform(stack, now=True)
    state = (
        "SELECT count(*), count(DISTINCT event_id) FROM bronze.raw_trades",
        "SELECT count(*), sum(trade_count) FROM bronze.market_bars_5s",
        "SELECT count(*), max(revision), sum(volume) FROM silver.market_bars_5s",
    )
    before = [query(statement) for statement in state]
    file = tmp_path / "again.ndjson"
    write_tape(tape, file, "binance")

    publish(stack, file)
    transform(stack, now=True)

    assert before == [query(statement) for statement in state]
    assert_exact(query, tape, "silver.market_bars_5s", "binance")


@pytest.fixture(scope="module")
def market(published: Path | None, stack: Settings, query: Query) -> list[Sent]:
    """200,000 ticks of today in four partitions: jittered, doubled, broken; newer than the tape."""
    pairs = tuple(
        Instrument("sim", f"P{n:02}USD", 100 + n, CENT, trades=200, quotes=0) for n in range(16)
    )
    seconds = TICKS / (16 * 200)
    start = datetime.now(UTC) - timedelta(seconds=seconds + 10)
    plan = Plan(
        start=start,
        seconds=seconds,
        instruments=pairs,
        jitter=2.0,
        duplicates=0.02,
        malformed=0.001,
        late=0,
        quiet=None,
        outage=None,
        decide_every=0,
    )
    sent = list(simulate(plan))
    with Publisher(stack.kafka) as publisher:
        for record in sent:
            publisher.send_raw(record.topic, record.key, record.value)
        publisher.flush()
        newest = max(r.event.timestamp for r in sent if isinstance(r.event, Tick))
        close_windows(stack, publisher, newest)
    trades = sum(r.intent == "good" and is_trade(r) for r in sent)
    await_count(
        query, "SELECT count(*) FROM bronze.raw_trades WHERE source_provider = 'sim'", trades
    )
    await_count(
        query,
        "SELECT coalesce(sum(trade_count), 0) FROM bronze.market_bars_5s"
        " WHERE source_provider = 'sim'",
        trades,
    )
    return sent


def close_windows(settings: Settings, publisher: Publisher, newest: datetime) -> None:
    """Heartbeats behind the newest tick, and again when a checkpoint holds the first."""
    behind = timedelta(seconds=6 + settings.flink.watermark_delay_seconds)
    for moment in (newest + behind, newest + behind + timedelta(seconds=1)):
        clock_beats(publisher, moment)
        publisher.flush()
        assert await_read(settings.kafka, job("ticks").group, Tick.stream.topic or "", 120)


def is_trade(record: Sent) -> bool:
    """Whether the record holds a trade."""
    return isinstance(record.event, Tick) and record.event.kind == "trade"


def test_every_good_tick_is_stored_once(market: list[Sent], query: Query) -> None:
    """All ids that were sent, and no other, each once."""
    good = {r.event.event_id for r in market if r.event and is_trade(r)}

    rows = query("SELECT event_id FROM bronze.raw_trades WHERE source_provider = 'sim'")

    assert len(good) == len(rows)
    assert good == {row[0] for row in rows}


def test_every_bar_equals_a_recomputation_from_what_was_sent(
    market: list[Sent], query: Query
) -> None:
    """DuckDB makes the bars from the ledger; Flink's are the same in every field."""
    ticks = [r.event for r in market if r.intent == "good" and isinstance(r.event, Tick)]
    ledger = pa.table(
        {
            "source_provider": [t.source_provider for t in ticks],
            "asset_pair": [t.asset_pair for t in ticks],
            "moment": pa.array([t.timestamp for t in ticks], pa.timestamp("us", "UTC")),
            "price": pa.array([t.price for t in ticks], pa.decimal128(18, 8)),
            "size": pa.array([t.size for t in ticks], pa.decimal128(18, 8)),
            "seq": [t.venue_sequence for t in ticks],
            "trade_id": [t.trade_id for t in ticks],
            "kind": [t.kind for t in ticks],
        }
    )
    with duckdb.connect() as oracle:
        oracle.execute("SET TimeZone = 'UTC'")
        oracle.register("ledger", ledger)
        expected = oracle.sql(
            """
            SELECT source_provider, asset_pair,
              CAST(epoch(time_bucket(INTERVAL 5 SECOND, moment)) AS BIGINT),
              arg_min(price, (moment, seq)) FILTER (WHERE kind = 'trade'), max(price), min(price),
              arg_max(price, (moment, seq)) FILTER (WHERE kind = 'trade'), coalesce(sum(size), 0),
              count(*) FILTER (WHERE kind = 'trade'),
              arg_min(trade_id, (moment, seq)) FILTER (WHERE kind = 'trade'),
              arg_max(trade_id, (moment, seq)) FILTER (WHERE kind = 'trade'),
              count(*) FILTER (WHERE kind = 'heartbeat')
            FROM ledger GROUP BY ALL ORDER BY ALL"""
        ).fetchall()

    rows = query(
        """
        SELECT source_provider, asset_pair, CAST(to_unixtime(window_start) AS bigint), open, high,
          low, close, volume, trade_count, first_trade_id, last_trade_id, heartbeat_count
        FROM bronze.market_bars_5s WHERE source_provider = 'sim' ORDER BY 1, 2, 3"""
    )

    assert expected == [tuple(row) for row in rows]


def test_every_malformed_record_is_a_dead_letter_with_its_bytes(
    market: list[Sent], stack: Settings, query: Query
) -> None:
    """In the table and in the dead-letter topic, bytes unchanged, at the offset where it stands."""
    broken = sorted(r.value for r in market if r.intent == "malformed")
    rows = query('SELECT payload, "partition", "offset" FROM bronze.dead_letters')
    by_place = {(r.partition, r.offset): r.value for r in read_topic(stack, "market.ticks.v1")}

    assert broken == sorted(bytes(row[0]) for row in rows)  # type: ignore[call-overload]
    assert all(by_place[row[1], row[2]] == bytes(row[0]) for row in rows)  # type: ignore[call-overload]
    assert broken == sorted(r.value for r in read_topic(stack, "market.ticks.v1.dlq"))


def test_bad_input_does_not_restart_the_job(market: list[Sent], cluster: Cluster) -> None:
    """200 broken records later it is the same attempt."""
    assert cluster.metric_of_job(cluster.running("ticks"), "numRestarts") == 0


def test_sums_of_the_largest_numbers_are_exact(
    market: list[Sent], stack: Settings, query: Query
) -> None:
    """More than 64 bits hold; and the last of one moment has the highest number, 60 behind 9."""
    largest, count = Decimal("9999999999.99999999"), 60
    newest = max(r.event.timestamp for r in market if isinstance(r.event, Tick))
    moment = newest.replace(microsecond=0) + timedelta(seconds=15 - newest.second % 5)
    ticks = [
        Tick(
            event_id=f"largest:trade:XUSD:{n}",
            kind="trade",
            source_provider="largest",
            asset_pair="XUSD",
            timestamp=moment,
            price=largest,
            size=largest,
            trade_id=str(n),
        )
        for n in range(count, 0, -1)
    ]
    with Publisher(stack.kafka) as publisher:
        for tick in ticks:
            publisher.send(tick)
        publisher.flush()
        close_windows(stack, publisher, moment)
    bars = "FROM bronze.market_bars_5s WHERE source_provider = 'largest'"
    await_count(query, f"SELECT count(*) {bars}", 1)

    rows = query(
        "SELECT open, high, low, close, vwap, volume, trade_count, first_trade_id, last_trade_id"
        f" {bars}"
    )

    assert [[*[largest] * 5, count * largest, count, "1", "60"]] == rows


def test_silver_is_exact_for_a_wholly_late_tape(
    tape: Path, market: list[Sent], stack: Settings, query: Query, tmp_path: Path
) -> None:
    """Topics hold newer data of other pairs: each trade lands late, and silver is exact."""
    file = tmp_path / "late.ndjson"
    count = write_tape(tape, file, "binance-late")

    publish(stack, file)
    await_count(query, "SELECT count(*) FROM bronze.late_trades", count)
    transform(stack, now=True)

    assert_exact(query, tape, "silver.market_bars_5s", "binance-late")
    assert [[count, count]] == query(
        "SELECT count(*), count(DISTINCT event_id) FROM bronze.raw_trades"
        " WHERE source_provider = 'binance-late'"
    )


def test_a_late_tape_published_again_changes_no_bar(
    tape: Path, market: list[Sent], stack: Settings, query: Query, tmp_path: Path
) -> None:
    """No revision, no row more."""
    state = (
        "SELECT count(*), sum(revision), sum(volume) FROM silver.market_bars_5s",
        "SELECT count(*), count(DISTINCT event_id) FROM bronze.raw_trades",
    )
    before = [query(statement) for statement in state]
    file = tmp_path / "late.ndjson"
    write_tape(tape, file, "binance-late")

    publish(stack, file)
    transform(stack, now=True)

    assert before == [query(statement) for statement in state]


@pytest.fixture(scope="module")
def made(market: list[Sent], stack: Settings) -> None:
    """Silver and gold hold the market."""
    transform(stack, now=True)


@pytest.mark.parametrize(
    ("table", "order"),
    [
        (("silver", "market_bars_5s"), "source_provider, asset_pair, window_start"),
        (("silver", "market_bars"), "source_provider, asset_pair, timeframe, bar_start"),
        (("gold", "mart_trading_performance"), "day, asset_pair, is_mock"),
    ],
)
def test_trino_pyiceberg_and_duckdb_read_the_same_rows(
    made: None, stack: Settings, query: Query, table: tuple[str, str], order: str
) -> None:
    """Three readers, one answer; DuckDB reads the data and delete files itself."""
    with connect(stack.catalog) as catalog, duckdb.connect() as reader:
        stored = catalog.load_table(table)
        names = [f.name for f in stored.schema().fields if str(f.field_type) != "timestamptz"]
        columns = ", ".join(f'"{name}"' for name in names)
        by_trino = query(f"SELECT {columns} FROM {'.'.join(table)} ORDER BY {order}")
        reader.register("by_pyiceberg", stored.scan().to_arrow())
        by_pyiceberg = reader.sql(f"SELECT {columns} FROM by_pyiceberg ORDER BY {order}").fetchall()
        by_duckdb = read_files(reader, stored, f"SELECT {columns} FROM live ORDER BY {order}")

    assert by_pyiceberg == [tuple(row) for row in by_trino]
    assert by_pyiceberg == by_duckdb


def read_files(
    reader: duckdb.DuckDBPyConnection, table: Table, query: str
) -> list[tuple[Any, ...]]:
    """The rows of a table from its files, less those that position deletes name."""
    tasks = list(table.scan().plan_files())
    data = [task.file.file_path.removeprefix("file://") for task in tasks]
    deletes = {d.file_path.removeprefix("file://") for task in tasks for d in task.delete_files}
    if not data:
        return []
    reader.execute(
        "CREATE VIEW deleted AS "
        + (
            f"SELECT replace(file_path, 'file://', '') AS file, pos"
            f" FROM read_parquet({sorted(deletes)})"
            if deletes
            else "SELECT '' AS file, 0 AS pos WHERE false"
        )
    )
    reader.execute(
        f"CREATE VIEW live AS SELECT * FROM read_parquet({data}, filename = true,"
        " file_row_number = true, union_by_name = true) AS d WHERE NOT EXISTS"
        " (SELECT 1 FROM deleted AS x WHERE x.file = d.filename AND x.pos = d.file_row_number)"
    )
    return reader.sql(query).fetchall()
