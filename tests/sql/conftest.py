"""A real lake for tests of SQL: bronze as it is declared, without a stream."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from emptied import emptied

from iceberg_catalog.apply import apply, plan
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake import queries
from ticklake.settings import Settings
from ticklake.transform import BARS, Report, transform


@dataclass(frozen=True)
class Trade:
    """A trade as the stream would have stored it."""

    event_id: str
    arrived: datetime
    timestamp: datetime
    price: str
    size: str
    pair: str
    trade_id: str | None


@dataclass(frozen=True)
class Lake:
    """What a test may do with the lake."""

    settings: Settings
    hour: datetime
    pair: str

    def at(self, minute: int, second: int = 0) -> datetime:
        """A moment of this test's hour."""
        return self.hour + timedelta(minutes=minute, seconds=second)

    def trade(  # noqa: PLR0913 - a trade has as many
        self,
        name: str,
        arrived: datetime,
        timestamp: datetime,
        price: str,
        *,
        size: str = "1",
        number: str | None = None,
    ) -> Trade:
        """A trade of this test's pair; its id is of this test alone."""
        return Trade(f"{self.pair}:{name}", arrived, timestamp, price, size, self.pair, number)

    def bars(self) -> list[list[object]]:
        """Windows of this test's pair: start, trades, open, close, revision."""
        return self.ask(
            "SELECT window_start, trade_count, open, close, revision FROM silver.market_bars_5s "
            f"WHERE asset_pair = '{self.pair}' ORDER BY window_start"
        )

    def ask(self, statement: str) -> list[list[object]]:
        """Rows of one statement."""
        return queries.run(self.settings, statement).rows

    def store(self, *trades: Trade, table: str = "raw_trades") -> None:
        """Append trades, as one commit for each thousand of them."""
        for begin in range(0, len(trades), 1000):
            rows = ", ".join(_row(t, n) for n, t in enumerate(trades[begin : begin + 1000], begin))
            self.ask(
                f"INSERT INTO bronze.{table} (event_id, source_provider, asset_pair, timestamp, "
                "price, size, trade_id, is_mock, _kafka_partition, _kafka_offset, _ingested_at) "
                f"VALUES {rows}"
            )

    def complete_through(self, moment: datetime | None) -> None:
        """Say how far the stream is complete, in place of the view over Flink's commits."""
        value = f"timestamp '{_text(moment)}'" if moment else "NULL"
        self.ask(
            "CREATE OR REPLACE VIEW bronze.stream_progress AS SELECT "
            f"CAST({value} AS timestamp(6) with time zone) AS complete_through, 4 AS partitions"
        )

    def transform(
        self, moment: datetime, *, now: bool = False, only: Sequence[str] = BARS
    ) -> Report:
        """Transform as if it were `moment`, and the stream complete up to it."""
        self.complete_through(moment)
        return transform(self.settings, now=now, only=only, at=moment)


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"


def _row(trade: Trade, offset: int) -> str:
    trade_id = f"'{trade.trade_id}'" if trade.trade_id else "NULL"
    return (
        f"('{trade.event_id}', 'coinbase', '{trade.pair}', "
        f"timestamp '{_text(trade.timestamp)}', decimal '{trade.price}', decimal '{trade.size}', "
        f"{trade_id}, false, 0, {offset}, timestamp '{_text(trade.arrived)}')"
    )


@pytest.fixture(scope="package")
def declared(servers: Settings) -> Settings:
    """The declared bronze tables, empty; the first trade of all comes just after midnight."""
    with closing(connect(emptied(servers).catalog)) as catalog:
        apply(catalog, tables(), plan(catalog, tables()))
    return servers


_hours = count()


@pytest.fixture
def lake(declared: Settings) -> Lake:
    """The lake, with an hour and a pair of the test's own: models are deployed only once."""
    hour = next(_hours)
    return Lake(declared, datetime(2026, 11, 24, tzinfo=UTC) + timedelta(hours=hour), f"PAIR{hour}")
