"""`ticklake transform` on real servers: nothing missed, nothing twice, whatever the moment."""

import gzip
import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pyarrow.feather
import pytest

from connectors.errors import TicklakeError, UnavailableError
from ticklake import checks
from ticklake.transform import transform

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TAPE = Path(__file__).parents[3] / "shared" / "data" / "real"
BARS = (
    "SELECT window_start, trade_count, open, close, revision FROM silver.market_bars_5s "
    "WHERE asset_pair = 'BTCUSD' ORDER BY window_start"
)


def at(minute: int, second: int = 0) -> datetime:
    """A moment of the hour in which these tests play."""
    return datetime(2026, 11, 24, 10, minute, second, tzinfo=UTC)


def bar(window: datetime, count: int, first: str, last: str, revision: int = 0) -> list[object]:
    """A row of `BARS`."""
    return [window, count, Decimal(first), Decimal(last), revision]


def test_now_misses_nothing_and_counts_nothing_twice(lake: Any) -> None:  # noqa: ANN401
    """Rows of one interval that arrive between two runs, and after its end, are each once in."""
    lake.store(lake.trade("a", at(2, 1), at(2), "100"), lake.trade("b", at(2, 2), at(2, 1), "101"))
    lake.transform(at(2, 30), now=True)
    first = lake.ask(BARS)
    lake.store(lake.trade("c", at(4, 1), at(4), "102"))
    lake.transform(at(4, 30), now=True)
    second = lake.ask(BARS)
    snapshots = 'SELECT count(*) FROM silver."market_bars_5s$snapshots"'
    before = lake.ask(snapshots)
    idle = lake.transform(at(4, 30), now=True)
    lake.store(lake.trade("d", at(5, 1), at(4, 59), "103"))
    lake.transform(at(5, 30))
    third = lake.ask(BARS)
    after = lake.ask(snapshots)
    lake.transform(at(10, 30))

    old = bar(at(2), 2, "100", "101")
    assert first == [old]
    assert second == [old, bar(at(4), 1, "102", "102")]
    assert [run.model for run in idle.models] == []
    assert after == before
    assert third == second
    assert lake.ask(BARS) == [*second, bar(at(4, 55), 1, "103", "103")]
    assert lake.ask(
        "SELECT timeframe, bar_start, trade_count, revision FROM silver.market_bars ORDER BY 1, 2"
    ) == [["1m", at(2), 2, 0], ["1m", at(4), 2, 0], ["5m", at(0), 4, 0]]


def test_a_late_trade_is_one_revision_and_a_copy_is_none(lake: Any) -> None:  # noqa: ANN401
    """What changes a bar counts once; the same tape again changes and stores nothing."""
    tape = [lake.trade("a", at(1, 1), at(1), "100"), lake.trade("b", at(1, 2), at(1, 9), "101")]
    lake.store(*tape)
    lake.transform(at(2), now=True)
    lake.store(lake.trade("late", at(6), at(1, 1), "99"), table="late_trades")
    corrected = lake.transform(at(7), now=True)
    copies = [lake.trade(t.event_id, at(11), t.timestamp, t.price) for t in tape]
    lake.store(*copies, table="late_trades")
    repeated = lake.transform(at(12), now=True)

    assert lake.ask(BARS) == [bar(at(1), 2, "100", "99", 1), bar(at(1, 5), 1, "101", "101")]
    assert lake.ask("SELECT corrected_at FROM silver.market_bars_5s ORDER BY window_start") == [
        [at(7)],
        [None],
    ]
    assert (corrected.late_merged, repeated.late_merged) == (1, 0)
    assert lake.ask("SELECT event_id FROM bronze.raw_trades ORDER BY 1") == [["a"], ["b"], ["late"]]


def test_bars_wait_until_the_stream_is_complete(lake: Any) -> None:  # noqa: ANN401
    """An interval that is not all committed is left alone, and made once it is."""
    lake.store(lake.trade("a", at(1, 1), at(1), "100"))
    lake.complete_through(at(4, 59))
    transform(lake.settings, at=at(6))
    waiting = lake.ask("SELECT count(*) FROM silver.market_bars_5s")
    lake.complete_through(at(5))
    transform(lake.settings, at=at(6))

    assert waiting == [[0]]
    assert lake.ask(BARS) == [bar(at(1), 1, "100", "100")]


def test_the_real_tape_gives_the_exchanges_own_bars(lake: Any) -> None:  # noqa: ANN401
    """12,477 trades of Binance, half of them late, equal its 1m and 5m bars to the last digit."""
    if not TAPE.is_dir():
        pytest.skip(f"the real tape is not at {TAPE}")
    rows = json.loads(gzip.decompress((TAPE / "XRP_ETH-trades.json.gz").read_bytes()))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    tape = [
        lake.trade(
            f"binance:trade:XRPETH:{number}",
            at(1) + timedelta(milliseconds=n),
            epoch + timedelta(milliseconds=ms),
            f"{price:.8f}",
            f"{amount:.8f}",
            "XRPETH",
            number,
            "binance",
        )
        for n, (ms, number, _, _, price, amount, _) in enumerate(rows)
    ]
    lake.store(*tape[::2])
    lake.transform(at(4), now=True)
    lake.store(*tape[1::2], table="late_trades")
    lake.transform(at(6), now=True)

    for timeframe in ("1m", "5m"):
        exchange = pyarrow.feather.read_table(TAPE / f"XRP_ETH-{timeframe}.feather").to_pylist()
        expected = {_utc(r["date"]): tuple(_exact(r[c]) for c in COLUMNS) for r in exchange}
        ours = lake.ask(
            f"SELECT bar_start, {', '.join(COLUMNS)} FROM silver.market_bars "
            f"WHERE timeframe = '{timeframe}'"
        )
        assert {_utc(row[0]): tuple(row[1:]) for row in ours} == expected


COLUMNS = ("open", "high", "low", "close", "volume")


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _exact(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("1e-8"))


def test_a_full_refresh_makes_a_model_again(lake: Any) -> None:  # noqa: ANN401
    """The bars are what they were, counted from revision 0; an unknown model is named."""
    lake.store(lake.trade("a", at(1, 1), at(1), "100"))
    lake.transform(at(2), now=True)
    lake.store(lake.trade("late", at(3), at(1, 1), "99"), table="late_trades")
    lake.transform(at(4), now=True)
    revised = lake.ask(BARS)
    transform(lake.settings, full_refresh=["silver.market_bars_5s"], now=True)

    assert revised == [bar(at(1), 2, "100", "99", 1)]
    assert lake.ask(BARS) == [bar(at(1), 2, "100", "99", 0)]
    with pytest.raises(TicklakeError, match=r"no model 'silver\.nope'; there are gold\.mart"):
        transform(lake.settings, full_refresh=["silver.nope"])


def test_a_failed_audit_is_one_line_and_is_made_again(lake: Any) -> None:  # noqa: ANN401
    """The message names model and audit; after the repair the same interval goes through."""
    columns = (
        "event_id, trade_id, account, asset_pair, platform, order_type, side, quantity, "
        "entry_price, exit_price, timestamp, status, is_mock, _kafka_partition, _kafka_offset, "
        "_ingested_at"
    )
    for event, status, exit_price, second in (("e1", "open", "NULL", 30), ("e2", "closed", "2", 1)):
        lake.ask(
            f"INSERT INTO bronze.raw_trade_executions ({columns}) VALUES ('{event}', 'T', 'x', "
            f"'BTCUSD', 'p', 'market', 'BUY', 1, 1, {exit_price}, "
            f"timestamp '2026-11-24 10:00:{second} UTC', '{status}', false, 0, 0, "
            "timestamp '2026-11-24 10:01:00 UTC')"
        )

    with pytest.raises(
        TicklakeError, match=r"stg_trade_outcomes.*accepted_range \(1 rows\)"
    ) as told:
        lake.transform(at(6))

    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)
    lake.ask("DELETE FROM bronze.raw_trade_executions WHERE event_id = 'e1'")
    lake.transform(at(12))
    assert lake.ask("SELECT net_pnl, status FROM silver.trade_lifecycle") == [
        [Decimal(1), "closed"]
    ]


def test_late_trades_are_merged_while_the_stream_commits(lake: Any) -> None:  # noqa: ANN401
    """An append of the stream never breaks the merge, and no trade is there twice."""
    done = threading.Event()
    appended = 0

    def stream() -> None:
        nonlocal appended
        while not done.is_set():
            lake.store(lake.trade(f"s{appended}", at(1, 1), at(1), "100"))
            appended += 1

    lake.transform(at(2), now=True)
    thread = threading.Thread(target=stream)
    thread.start()
    merged = 0
    try:
        for n in range(3, 6):
            late = lake.trade(f"late{n}", at(n), at(1), "99")
            lake.store(late, late, table="late_trades")
            merged += lake.transform(at(n, 30), now=True).late_merged
    finally:
        done.set()
        thread.join()

    assert merged == 3
    assert appended > 3
    assert lake.ask("SELECT count(*), count(DISTINCT event_id) FROM bronze.raw_trades") == [
        [appended + 3, appended + 3]
    ]


def test_checks_pass_fail_and_do_not_know(lake: Any) -> None:  # noqa: ANN401
    """0 on good data, 1 with one planted bad row, 3 where a table is not there."""
    chosen = checks.contracts(table="silver.market_bars_5s")
    missing = list(checks.run(lake.settings, chosen))
    lake.store(lake.trade("a", at(1, 1), at(1), "100"))
    lake.transform(at(2), now=True)
    good = list(checks.run(lake.settings, chosen))
    lake.ask("UPDATE silver.market_bars_5s SET vwap = 7")
    bad = list(checks.run(lake.settings, chosen))

    assert checks.exit_code(missing) == 3
    assert missing[0].count("not_evaluated") == len(missing[0].checks) > 0
    assert checks.exit_code(good) == 0
    assert good[0].count("passed") == len(good[0].checks) == len(missing[0].checks)
    assert checks.exit_code(bad) == 1
    assert [c.name for c in bad[0].checks if c.outcome == "failed"] == [
        "vwap lies between low and high"
    ]


def test_every_contract_can_be_evaluated(lake: Any) -> None:  # noqa: ANN401
    """No check of any contract is at fault itself; only the two empty tables lack rows."""
    lake.store(lake.trade("a", at(1, 1), at(1), "100"))
    lake.transform(at(2), now=True)
    reports = list(checks.run(lake.settings, checks.contracts(), since=at(0)))

    assert [r.table for r in reports if r.unknown] == []
    assert [
        (r.layer, r.table, c.name) for r in reports for c in r.checks if c.outcome == "failed"
    ] == [("bronze", "market_bars_5s", "Row count meets expected threshold")]


def test_a_server_that_is_away_is_told_apart(lake: Any) -> None:  # noqa: ANN401
    """PostgreSQL away: one line and exit code 3, not a traceback."""
    lake.complete_through(at(2))
    away = lake.settings.model_copy(
        update={
            "catalog": lake.settings.catalog.model_copy(
                update={"uri": "postgresql://127.0.0.1:9/ticklake"}
            )
        }
    )

    with pytest.raises(UnavailableError, match="does not answer") as told:
        transform(away)

    assert "\n" not in str(told.value)
    assert not isinstance(told.value.__cause__, psycopg.Error)
