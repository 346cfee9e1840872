"""`ticklake transform` on real servers: nothing missed, nothing twice, whatever the moment."""

import gzip
import json
import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.feather
import pytest

from connectors.errors import TicklakeError, UnavailableError
from ticklake import checks, sqlmesh_project
from ticklake.transform import BARS, transform, transform_alone

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TAPE = Path(__file__).parents[3] / "shared" / "data" / "real"
COLUMNS = ("open", "high", "low", "close", "volume")


def bar(window: datetime, count: int, first: str, last: str, revision: int = 0) -> list[object]:
    """A row of `lake.bars()`."""
    return [window, count, Decimal(first), Decimal(last), revision]


def test_now_misses_nothing_and_counts_nothing_twice(lake: Any) -> None:  # noqa: ANN401
    """Rows of one interval that arrive between two runs, and after its end, are each once in."""
    at, trade = lake.at, lake.trade
    lake.store(trade("a", at(2, 1), at(2), "100"), trade("b", at(2, 2), at(2, 1), "101"))
    lake.transform(at(2, 30), now=True)
    first = lake.bars()
    lake.store(trade("c", at(4, 1), at(4), "102"))
    made = lake.transform(at(4, 30), now=True)
    second = lake.bars()
    snapshots = 'SELECT count(*) FROM silver."market_bars_5s$snapshots"'
    before = lake.ask(snapshots)
    idle = lake.transform(at(4, 30), now=True)
    lake.store(trade("d", at(5, 1), at(4, 59), "103"))
    lake.transform(at(5, 30))
    third = lake.bars()
    after = lake.ask(snapshots)
    lake.transform(at(10, 30))

    old = bar(at(2), 2, "100", "101")
    assert first == [old]
    assert second == [old, bar(at(4), 1, "102", "102")]
    assert {run.model for run in made.models} == set(BARS)
    assert idle.models == []
    assert after == before
    assert third == second
    assert lake.bars() == [*second, bar(at(4, 55), 1, "103", "103")]
    assert lake.ask(
        "SELECT timeframe, bar_start, trade_count, revision FROM silver.market_bars "
        f"WHERE asset_pair = '{lake.pair}' ORDER BY 1, 2"
    ) == [["1m", at(2), 2, 0], ["1m", at(4), 2, 0], ["5m", at(0), 4, 0]]


def test_a_late_trade_is_one_revision_and_a_copy_is_none(lake: Any) -> None:  # noqa: ANN401
    """What changes a bar counts once; the same tape again changes and stores nothing."""
    at = lake.at
    tape = [lake.trade("a", at(1, 1), at(1), "100"), lake.trade("b", at(1, 2), at(1, 9), "101")]
    lake.store(*tape)
    lake.transform(at(2), now=True)
    lake.store(lake.trade("late", at(6), at(1, 1), "99"), table="late_trades")
    corrected = lake.transform(at(7), now=True)
    lake.store(*(replace(trade, arrived=at(11)) for trade in tape), table="late_trades")
    repeated = lake.transform(at(12), now=True)

    here = f"WHERE asset_pair = '{lake.pair}'"
    assert lake.bars() == [bar(at(1), 2, "100", "99", 1), bar(at(1, 5), 1, "101", "101")]
    assert lake.ask(
        f"SELECT corrected_at FROM silver.market_bars_5s {here} ORDER BY window_start"
    ) == [[at(7)], [None]]
    assert (corrected.late_merged, repeated.late_merged) == (1, 0)
    assert lake.ask(f"SELECT count(*) FROM bronze.raw_trades {here}") == [[3]]


@pytest.mark.parametrize("beginning", [False, True])
def test_rows_of_the_past_are_found_and_later_corrections_stay(
    lake: Any,  # noqa: ANN401
    beginning: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What a replay adds is one revision; a bar that it does not touch has none, wherever it is."""
    at = lake.at
    lake.store(lake.trade("a", at(1, 1), at(1), "100"), lake.trade("b", at(1, 2), at(1, 9), "101"))
    lake.transform(at(2), now=True)
    lake.store(lake.trade("late", at(6), at(1, 1), "99"), table="late_trades")
    lake.transform(at(7), now=True)
    since = datetime(2026, 11, 1, tzinfo=UTC) if beginning else at(1, 2)
    found: list[list[str]] = []
    built_on: list[list[str]] = []

    def redo(project: sqlmesh_project.Project) -> list[str]:
        found.append(project.redo({"raw_trades": since}))
        built_on.append(project.built_on(["raw_trade_executions"]))
        return project.built_on(["raw_trades"])

    others = "SELECT count(*), sum(revision) FROM silver.market_bars_5s"
    before = lake.ask(others)
    transform_alone(lake.settings, now=True, at=at(7), chosen=redo)
    untouched = lake.bars()
    idle = lake.ask(others)
    lake.store(lake.trade("lost", at(1, 2), at(1, 6), "102"))
    again = transform_alone(lake.settings, now=True, at=at(7), chosen=redo)

    assert built_on[0] == ["gold.mart_trading_performance", "silver.trade_lifecycle"]
    assert {run.model for run in again.models} == set(BARS)
    assert found[0] == ["silver.market_bars", "silver.market_bars_5s"]
    assert untouched == [bar(at(1), 2, "100", "99", 1), bar(at(1, 5), 1, "101", "101")]
    assert idle == before
    assert lake.bars() == [bar(at(1), 2, "100", "99", 1), bar(at(1, 5), 2, "102", "101", 1)]
    assert lake.ask(
        "SELECT trade_count, revision FROM silver.market_bars "
        f"WHERE asset_pair = '{lake.pair}' AND timeframe = '5m'"
    ) == [[4, 1]]


def test_bars_wait_until_the_stream_is_complete(lake: Any) -> None:  # noqa: ANN401
    """An interval that is not all committed is left alone, and made once it is."""
    lake.store(lake.trade("a", lake.at(1, 1), lake.at(1), "100"))
    lake.complete_through(lake.at(4, 59))
    transform(lake.settings, at=lake.at(6))
    waiting = lake.bars()
    lake.complete_through(lake.at(5))
    transform(lake.settings, at=lake.at(6))

    assert waiting == []
    assert lake.bars() == [bar(lake.at(1), 1, "100", "100")]


def test_the_real_tape_gives_the_exchanges_own_bars(lake: Any) -> None:  # noqa: ANN401
    """12,477 trades of Binance, half of them late, equal its 1m and 5m bars to the last digit."""
    if not TAPE.is_dir():
        pytest.skip(f"the real tape is not at {TAPE}")
    rows = json.loads(gzip.decompress((TAPE / "XRP_ETH-trades.json.gz").read_bytes()))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    tape = [
        lake.trade(
            number,
            lake.at(1) + timedelta(milliseconds=n),
            epoch + timedelta(milliseconds=ms),
            f"{price:.8f}",
            size=f"{amount:.8f}",
            number=number,
        )
        for n, (ms, number, _, _, price, amount, _) in enumerate(rows)
    ]
    lake.store(*tape[::2])
    lake.transform(lake.at(4), now=True)
    lake.store(*(replace(trade, arrived=lake.at(5)) for trade in tape[1::2]), table="late_trades")
    lake.transform(lake.at(6), now=True)

    for timeframe in ("1m", "5m"):
        exchange = pyarrow.feather.read_table(TAPE / f"XRP_ETH-{timeframe}.feather").to_pylist()
        expected = {_utc(r["date"]): tuple(_exact(r[c]) for c in COLUMNS) for r in exchange}
        ours = lake.ask(
            f"SELECT bar_start, {', '.join(COLUMNS)} FROM silver.market_bars "
            f"WHERE timeframe = '{timeframe}' AND asset_pair = '{lake.pair}'"
        )
        assert {_utc(row[0]): tuple(row[1:]) for row in ours} == expected


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _exact(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("1e-8"))


def test_a_full_refresh_makes_a_model_again(lake: Any) -> None:  # noqa: ANN401
    """The bars are what they were, counted from revision 0; an unknown model is named."""
    at = lake.at
    lake.store(lake.trade("a", at(1, 1), at(1), "100"))
    lake.transform(at(2), now=True)
    lake.store(lake.trade("late", at(3), at(1, 1), "99"), table="late_trades")
    lake.transform(at(4), now=True)
    revised = lake.bars()
    transform(lake.settings, full_refresh=["silver.market_bars_5s"], at=at(4))

    assert revised == [bar(at(1), 2, "100", "99", 1)]
    assert lake.bars() == [bar(at(1), 2, "100", "99", 0)]
    with pytest.raises(TicklakeError, match=r"no model 'silver\.nope'; there are gold\.mart"):
        transform(lake.settings, full_refresh=["silver.nope"], at=at(4))
    with pytest.raises(TicklakeError, match=r"made by 'silver\.nope'; there are gold\.mart"):
        transform(lake.settings, only=["silver.nope"], at=at(4))


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
            f"timestamp '2026-11-24 00:00:{second} UTC', '{status}', false, 0, 0, "
            "timestamp '2026-11-24 00:01:00 UTC')"
        )

    said = r"stg_trade_outcomes.*accepted_range \(1 rows\)"
    with pytest.raises(TicklakeError, match=said) as told:
        lake.transform(lake.at(6), only=())

    assert told.value.exit_code == 2
    assert "\n" not in str(told.value)
    lake.ask("DELETE FROM bronze.raw_trade_executions WHERE event_id = 'e1'")
    lake.transform(lake.at(12), only=())
    assert lake.ask("SELECT net_pnl, status FROM silver.trade_lifecycle") == [
        [Decimal(1), "closed"]
    ]


def test_a_changed_model_is_deployed(
    lake: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what differs is named and deployed; a run after it finds nothing to deploy."""
    mart = ["gold.mart_trading_performance"]
    lake.transform(lake.at(2), only=mart)
    copy = tmp_path / "project"
    shutil.copytree(sqlmesh_project.FOLDER, copy)
    model = copy / "models" / "gold" / "mart_trading_performance.sql"
    text = model.read_text().replace(
        "\n  max_drawdown,\n", "\n  max_drawdown,\n  return_deviation,\n"
    )
    model.write_text(
        text.replace("column_descriptions (", "column_descriptions (return_deviation = 'spread',")
    )
    monkeypatch.setattr(sqlmesh_project, "FOLDER", copy)
    changed = lake.transform(lake.at(4), now=True, only=mart)
    columns = lake.ask("SHOW COLUMNS FROM gold.mart_trading_performance")
    again = lake.transform(lake.at(5), now=True, only=mart)
    monkeypatch.undo()
    back = lake.transform(lake.at(6), now=True, only=mart)

    assert changed.deployed == mart
    assert ["return_deviation", "double", "", "spread"] in columns
    assert again.deployed == []
    assert back.deployed == mart


def test_late_trades_are_merged_while_the_stream_commits(lake: Any) -> None:  # noqa: ANN401
    """An append of the stream never breaks the merge, and no trade is there twice."""
    at = lake.at
    done = threading.Event()
    appended = 0

    def stream() -> None:
        nonlocal appended
        while not done.is_set():
            lake.store(lake.trade(f"s{appended}", at(50), at(50), "100"))
            appended += 1

    thread = threading.Thread(target=stream)
    thread.start()
    merged = 0
    try:
        for n in range(3, 5):
            late = lake.trade(f"late{n}", at(n), at(1), "99")
            lake.store(late, late, table="late_trades")
            merged += lake.transform(at(n, 30), now=True).late_merged
    finally:
        done.set()
        thread.join()

    assert merged == 2
    assert appended > 2
    assert lake.ask(
        "SELECT count(*), count(DISTINCT event_id) FROM bronze.raw_trades "
        f"WHERE asset_pair = '{lake.pair}'"
    ) == [[appended + 2, appended + 2]]


def test_checks_pass_fail_and_do_not_know(lake: Any) -> None:  # noqa: ANN401
    """0 on good data, 1 with one planted bad row, 3 where the table is not there."""
    chosen = checks.contracts(table="silver.market_bars_5s")
    lake.store(lake.trade("a", lake.at(1, 1), lake.at(1), "100"))
    lake.transform(lake.at(2), now=True)
    good = list(checks.run(lake.settings, chosen))
    here = f"WHERE asset_pair = '{lake.pair}'"
    lake.ask(f"UPDATE silver.market_bars_5s SET vwap = 7 {here}")
    bad = list(checks.run(lake.settings, chosen))
    lake.ask(f"UPDATE silver.market_bars_5s SET vwap = open {here}")
    lake.ask("ALTER TABLE silver.market_bars_5s RENAME TO silver.away")
    try:
        missing = list(checks.run(lake.settings, chosen))
    finally:
        lake.ask("ALTER TABLE silver.away RENAME TO silver.market_bars_5s")

    assert checks.exit_code(good) == 0
    assert good[0].count("passed") == len(good[0].checks) > 0
    assert checks.exit_code(bad) == 1
    assert [c.name for c in bad[0].checks if c.outcome == "failed"] == [
        "vwap lies between low and high"
    ]
    assert checks.exit_code(missing) == 3
    assert missing[0].count("not_evaluated") == len(missing[0].checks) == len(good[0].checks)


def test_every_contract_can_be_evaluated(lake: Any) -> None:  # noqa: ANN401
    """No check is at fault itself; only the stream's own bars, of which there are none, fail."""
    lake.store(lake.trade("a", lake.at(1, 1), lake.at(1), "100"))
    lake.transform(lake.at(2), now=True)
    reports = list(checks.run(lake.settings, checks.contracts(), since=lake.at(0)))

    assert [r.table for r in reports if r.unknown] == []
    assert [
        (r.layer, r.table, c.name) for r in reports for c in r.checks if c.outcome == "failed"
    ] == [("bronze", "market_bars_5s", "Row count meets expected threshold")]


def test_a_database_that_is_away_is_told_apart(lake: Any) -> None:  # noqa: ANN401
    """PostgreSQL away: one line and exit code 3, not a traceback."""
    lake.complete_through(lake.at(2))
    nowhere = lake.settings.catalog.model_copy(update={"uri": "postgresql://127.0.0.1:9/ticklake"})

    with pytest.raises(UnavailableError, match="does not answer") as told:
        transform(lake.settings.model_copy(update={"catalog": nowhere}))

    assert told.value.exit_code == 3
    assert "\n" not in str(told.value)
