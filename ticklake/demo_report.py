"""What the demo shows: counts that add up, bars, performance, verdicts, freshness, addresses."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

import plotext
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from ticklake import console, demo, queries
from ticklake.checks import TableReport
from ticklake.demo import Ledger, Reader
from ticklake.local import flink, trino
from ticklake.settings import Settings
from ticklake.transform import Report

_PAIR, _VENUE = "BTCUSD", "coinbase"


@contextmanager
def progress(seconds: float) -> Iterator[Callable[[float, Ledger], None]]:
    """A bar on a terminal, a line every ten seconds elsewhere."""
    if not console.err.is_terminal:
        last = -10.0

        def line(gone: float, ledger: Ledger) -> None:
            nonlocal last
            if gone - last >= 10:  # noqa: PLR2004 - seconds
                last = gone
                console.step(f"{gone:3.0f} s: {ledger.intents.total():,} records sent")

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console.err) as shown:
        task = shown.add_task("market", total=seconds)

        def bar(gone: float, ledger: Ledger) -> None:
            text = f"{ledger.intents.total():,} records sent"
            shown.update(task, completed=min(gone, seconds), description=text)

        yield bar


def show(
    settings: Settings,
    ledger: Ledger,
    reader: Reader,
    report: Report,
    verdicts: Sequence[TableReport],
) -> bool:
    """Print it all.

    Returns:
        Whether what was sent is what is stored, dropped as duplicate, or dead.
    """
    _chart(settings, ledger)
    _performance(settings)
    adds_up = _counts(settings, ledger, report)
    _contracts(verdicts)
    _freshness(reader, ledger)
    _next_steps(settings)
    return adds_up


def _chart(settings: Settings, ledger: Ledger) -> None:
    rows = queries.run(
        settings,
        "SELECT window_start, open, high, low, close FROM silver.market_bars_5s WHERE"
        " source_provider = ? AND asset_pair = ? AND window_start >= ? AND trade_count > 0"
        " ORDER BY window_start",
        (_VENUE, _PAIR, ledger.began),
    ).rows
    if not rows:
        console.warn(f"there are no bars of {_PAIR} yet")
        return
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plotsize(min(console.out.width, 100), 18)
    plotext.date_form("H:M:S")
    times = [row[0].strftime("%H:%M:%S") for row in rows]
    prices = {
        name: [float(row[place]) for row in rows]  # for the picture only
        for place, name in enumerate(("Open", "High", "Low", "Close"), start=1)
    }
    plotext.candlestick(times, prices)
    plotext.title(f"{_PAIR} at {_VENUE} (simulated), bars of 5 seconds from silver.market_bars_5s")
    console.out.print(Text.from_ansi(plotext.build()))


def _performance(settings: Settings) -> None:
    rows = queries.run(
        settings,
        "SELECT day, asset_pair, trades, win_rate, profit_factor, net_pnl, sharpe_ratio,"
        " max_drawdown FROM gold.mart_trading_performance WHERE is_mock"
        " ORDER BY day DESC, asset_pair LIMIT 10",
    ).rows
    table = Table(title="gold.mart_trading_performance", box=None, title_justify="left")
    for name in ("day (UTC)", "pair", "trades", "win rate", "profit factor", "net P&L"):
        table.add_column(name, justify="left" if name in ("day (UTC)", "pair") else "right")
    table.add_column("Sharpe", justify="right")
    table.add_column("max drawdown", justify="right")
    for day, pair, trades, *ratios in rows:
        table.add_row(str(day), pair, str(trades), *(_number(value) for value in ratios))
    console.out.print(table)


def _counts(settings: Settings, ledger: Ledger, report: Report) -> bool:
    stored = demo.stored(settings, ledger, sorted(ledger.tables))
    sent = ledger.intents.total()
    duplicates = ledger.intents["duplicate"]
    kept = sum(stored[name] for name in ledger.tables)
    dead = stored["dead_letters"]
    table = Table(title="every record, at each hop", box=None, title_justify="left")
    for name in ("", "sent", "stored", ""):
        table.add_column(name, justify="right" if name else "left")
    right = True
    for name, expected in sorted(ledger.tables.items()):
        right &= stored[name] == expected
        table.add_row(
            f"bronze.{name}", f"{expected:,}", f"{stored[name]:,}", _mark(stored[name] == expected)
        )
    malformed = ledger.intents["malformed"]
    right &= dead == malformed
    table.add_row(
        "malformed -> bronze.dead_letters", f"{malformed:,}", f"{dead:,}", _mark(dead == malformed)
    )
    table.add_row("duplicates, dropped", f"{duplicates:,}", "0", "")
    console.out.print(table)
    right &= sent == kept + duplicates + dead
    console.out.print(
        f"sent {sent:,} = stored {kept:,} + duplicates {duplicates:,} + dead {dead:,}"
        f" {_mark(sent == kept + duplicates + dead)}; of the stored trades"
        f" {ledger.intents['late']:,} were sent late, {report.late_merged:,} came behind their"
        f" window and corrected it; {ledger.clock_beats:,} clock heartbeats beside them",
        highlight=False,
    )
    return right


def _contracts(verdicts: Sequence[TableReport]) -> None:
    passed = sum(v.count("passed") for v in verdicts)
    failed = sum(v.count("failed") for v in verdicts)
    warned = sum(v.count("warned") for v in verdicts)
    total = sum(len(v.checks) for v in verdicts)
    unknown = total - passed - warned - failed
    errors = sum(bool(v.errors) for v in verdicts)
    text = (
        f"contracts: {passed} of {total} checks on {len(verdicts)} tables passed, {failed} failed"
    )
    if warned:
        text += f", {warned} gave a warning"
    if unknown or errors:
        text += f", {unknown} could not be evaluated, {errors} tables gave an error"
    console.out.print(text, highlight=False)


def _freshness(reader: Reader, ledger: Ledger) -> None:
    waits = reader.freshness(ledger)
    console.out.print(
        f"freshness, sent to visible in Trino, {len(waits):,} trades:"
        f" p50 {demo.quantile(waits, 0.5):.1f} s, p99 {demo.quantile(waits, 0.99):.1f} s",
        highlight=False,
    )


def _next_steps(settings: Settings) -> None:
    local = settings.local
    for text in (
        "",
        f"Flink: {flink.address(local)}    Trino: {trino.address(local)}/ui/",
        f"reports: {local.home / 'reports'}",
        "",
        "next:  . .venv/bin/activate",
        '       ticklake sql "SELECT * FROM silver.market_bars ORDER BY bar_start DESC LIMIT 10"',
        "       ticklake dlq list          what was refused, and why",
        "       ticklake jobs              what runs on Flink",
        "       ticklake check             the contracts again",
        "       make down                  stops all, keeps the data",
    ):
        console.out.print(text, markup=False, highlight=False, soft_wrap=True)


def _mark(good: bool) -> str:  # noqa: FBT001 - a formatter
    return "[green]ok[/]" if good else "[red]DIFFERS[/]"


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float | Decimal):
        return f"{value:,.2f}"
    return str(value)
