"""What one would write instead: a loop of confluent-kafka, orjson and PyIceberg.

Trades once (ids in a set), bars of 5 seconds (in a dict), a commit of both tables every 5 seconds.
It keeps no state: after a kill it reads the topic again or loses open bars, its set grows without
end, and what does not parse is only counted. `run(...)` reads to the end of the topic and returns.
"""

import time
from decimal import Decimal

import confluent_kafka
import orjson
import pyarrow as pa
from pyiceberg.catalog import Catalog

COMMIT_SECONDS = 5.0
DELAY_US = 2_000_000
WINDOW_US = 5_000_000
MONEY = pa.decimal128(18, 8)
UTC = pa.timestamp("us", "UTC")
TEXTS = ("event_id", "source_provider", "asset_pair")


class Loop:
    """The consumer, the ids, the open bars, and the rows since the last commit."""

    def __init__(self, catalog: Catalog) -> None:
        """Both tables exist."""
        self.trades = catalog.load_table(("rival", "trades"))
        self.bars = catalog.load_table(("rival", "bars"))
        self.seen: set[str] = set()
        self.open: dict[tuple[str, int], list[object]] = {}
        self.rows: list[tuple[object, ...]] = []
        self.newest: dict[int, int] = {}
        self.dropped = 0

    def take(self, partition: int, offset: int, value: bytes) -> None:
        """One record."""
        try:
            tick = orjson.loads(value)
            time_us = micros(tick["timestamp"])
            self.newest[partition] = max(self.newest.get(partition, 0), time_us)
            if tick["kind"] != "trade" or tick["event_id"] in self.seen:
                return
            price, size = Decimal(tick["price"]), Decimal(tick["size"])
        except (orjson.JSONDecodeError, KeyError, ArithmeticError):
            self.dropped += 1
            return
        self.seen.add(tick["event_id"])
        texts = (tick["event_id"], tick["source_provider"], tick["asset_pair"])
        self.rows.append((*texts, time_us, tick["price"], tick["size"], partition, offset))
        self.add(tick["asset_pair"], time_us, int(tick["trade_id"]), price, size)

    def add(self, pair: str, time_us: int, number: int, price: Decimal, size: Decimal) -> None:
        """One trade into its bar: first and last place with price, high, low, volume, count."""
        place = (time_us, number)
        bar = self.open.get((pair, time_us // WINDOW_US))
        if bar is None:
            self.open[pair, time_us // WINDOW_US] = [
                place,
                price,
                place,
                price,
                price,
                price,
                size,
                1,
            ]
            return
        if place < bar[0]:
            bar[0], bar[1] = place, price
        if place > bar[2]:
            bar[2], bar[3] = place, price
        bar[4], bar[5] = max(bar[4], price), min(bar[5], price)
        bar[6], bar[7] = bar[6] + size, bar[7] + 1

    def commit(self, *, last: bool = False) -> None:
        """Append what came, and the bars that the slowest partition has passed."""
        if self.rows:
            columns = list(zip(*self.rows, strict=True))
            arrays = [pa.array(c) for c in columns[:3]]
            arrays += [pa.array(columns[3], UTC)]
            arrays += [pa.array(c).cast(MONEY) for c in columns[4:6]]
            arrays += [pa.array(columns[6], pa.int32()), pa.array(columns[7])]
            self.trades.append(pa.table(arrays, schema=self.trades.schema().as_arrow()))
            self.rows.clear()
        passed = min(self.newest.values(), default=0) - DELAY_US
        done = [k for k in self.open if last or (k[1] + 1) * WINDOW_US <= passed]
        if done:
            found = [
                (pair, window * WINDOW_US, *self.open.pop((pair, window))) for pair, window in done
            ]
            columns = list(zip(*found, strict=True))
            arrays = [pa.array(columns[0]), pa.array(columns[1], UTC)]
            arrays += [pa.array(columns[n], MONEY) for n in (3, 6, 7, 5)]
            arrays += [pa.array(columns[8], pa.decimal128(38, 8)), pa.array(columns[9])]
            self.bars.append(pa.table(arrays, schema=self.bars.schema().as_arrow()))


def micros(text: str) -> int:
    """Of `2026-01-05T00:00:00.000000Z`, since 1970."""
    whole = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") if text[:10] not in _DAYS else None
    if whole is not None:
        _DAYS[text[:10]] = int(time.mktime((*whole[:3], 0, 0, 0, 0, 0, 0)) - time.timezone)
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    return (_DAYS[text[:10]] + seconds) * 1_000_000 + int(text[20:26])


_DAYS: dict[str, int] = {}


def run(broker: str, topic: str, catalog: Catalog) -> Loop:
    """Read the topic to its end."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": broker, "group.id": "rival", "auto.offset.reset": "earliest"}
    )
    places = [
        confluent_kafka.TopicPartition(topic, p, confluent_kafka.OFFSET_BEGINNING)
        for p in consumer.list_topics(topic).topics[topic].partitions
    ]
    left = sum(consumer.get_watermark_offsets(p)[1] for p in places)
    consumer.assign(places)
    loop, due = Loop(catalog), time.monotonic() + COMMIT_SECONDS
    while left > 0:
        for record in consumer.consume(10_000, 1.0):
            loop.take(record.partition(), record.offset(), record.value())
            left -= 1
        if time.monotonic() > due:
            loop.commit()
            due = time.monotonic() + COMMIT_SECONDS
    loop.commit(last=True)
    return loop
