"""An exchange's real tape, and its own bars, from the folder beside the checkout."""

import gzip
import json
from decimal import Decimal
from pathlib import Path

from pyarrow import feather


def write_tape(folder: Path, target: Path, venue: str) -> int:
    """The real tape as NDJSON of one venue."""
    with gzip.open(folder / "XRP_ETH-trades.json.gz") as file:
        rows = json.load(file, parse_float=Decimal)
    with target.open("w") as out:
        for milliseconds, trade_id, _, side, price, size, _ in rows:
            tick = {
                "event_id": f"{venue}:trade:XRPETH:{trade_id}",
                "kind": "trade",
                "source_provider": venue,
                "asset_pair": "XRPETH",
                "timestamp": milliseconds,
                "price": str(price),
                "size": str(size),
                "trade_id": trade_id,
                "aggressor_side": side,
            }
            out.write(json.dumps(tick) + "\n")
    return len(rows)


def exchange_bars(folder: Path, timeframe: str) -> dict[int, tuple[Decimal, ...]]:
    """Epoch second to open, high, low, close, volume; those with trades."""
    table = feather.read_table(folder / f"XRP_ETH-{timeframe}.feather")
    return {
        int(row["date"].timestamp()): tuple(
            Decimal(repr(row[name])) for name in ("open", "high", "low", "close", "volume")
        )
        for row in table.to_pylist()
        if row["volume"] > 0
    }
