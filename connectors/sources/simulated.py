"""A simulated market: several venues' ticks, decisions and executions, with real feeds' faults.

A pure generator, the same for the same seed. Everything carries `is_mock = true`. Prices follow a
geometric random walk; arrival is out of order, some records come twice, some late, some broken; one
pair falls silent for a while and one venue loses its connection.
"""

import heapq
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from connectors.events import AIDecision, FeedStatus, Tick, TradeExecution
from connectors.stream import Event

Intent = Literal["good", "duplicate", "late", "malformed"]

CENT, EIGHT = Decimal("0.01"), Decimal("0.00000001")
_FEE_RATE = Decimal("0.0006")


@dataclass(frozen=True)
class Instrument:
    """A pair at a venue: starting price, smallest price step, trades and quotes a second."""

    venue: str
    pair: str
    price: float
    step: Decimal
    trades: float = 8.0
    quotes: float = 2.0
    volatility: float = 0.0001


INSTRUMENTS = (
    Instrument("coinbase", "BTCUSD", 61_000, CENT),
    Instrument("coinbase", "ETHUSD", 3_100, CENT),
    Instrument("coinbase", "SOLUSD", 142, CENT),
    Instrument("kraken", "BTCUSD", 61_005, Decimal("0.1"), trades=4),
    Instrument("oanda", "EURUSD", 1.0842, Decimal("0.00001"), trades=3, quotes=4, volatility=2e-5),
)


@dataclass(frozen=True)
class Plan:
    """What the market does. Durations in seconds, shares from 0 to 1.

    Attributes:
        start: event time of the first second, UTC.
        seconds: how long it runs.
        jitter: greatest delay between event time and arrival of an on-time tick.
        duplicates: share of ticks that are sent twice.
        late: share of trades that arrive `late_by` after their time.
        malformed: share of ticks beside which a broken record is sent.
        quiet: (pair, from, to): heartbeats only.
        outage: (venue, from, to): nothing at all, said by FeedStatus.
        decide_every: seconds between AI decisions of a pair; 0: none, and no executions.
    """

    start: datetime
    seconds: float = 60
    seed: int = 7
    instruments: tuple[Instrument, ...] = INSTRUMENTS
    jitter: float = 1.5
    duplicates: float = 0.02
    late: float = 0.005
    late_by: float = 15
    malformed: float = 0.002
    quiet: tuple[str, float, float] | None = ("SOLUSD", 20, 35)
    outage: tuple[str, float, float] | None = ("kraken", 30, 42)
    decide_every: float = 4


@dataclass(frozen=True)
class Sent:
    """One record to send: when (seconds after the start), where, what, and what it is meant to be.

    `event` is what it holds; None where the bytes are meant to be refused.
    """

    at: float
    topic: str
    key: bytes
    value: bytes
    intent: Intent
    event: Event | None


@dataclass
class _Book:
    """The moving state of one instrument."""

    instrument: Instrument
    price: float
    next_id: int
    past: float = 0.0
    position: TradeExecution | None = None
    close_at: float = 0.0
    decisions: Iterator[int] = field(default_factory=itertools.count)


def simulate(plan: Plan) -> Iterator[Sent]:
    """The records of a market in the order of their arrival."""
    return _Market(plan).run()


class _Market:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)  # noqa: S311 - a simulation, no secret
        self.run_id = f"{plan.start:%Y%m%d%H%M%S}-{plan.seed}"
        self.books = [
            _Book(i, i.price, 1_000_000 + n * 100_000_000, i.price)
            for n, i in enumerate(plan.instruments)
        ]
        self.waiting: list[tuple[float, int, Sent]] = []
        self.order = itertools.count()

    def run(self) -> Iterator[Sent]:
        step = 0.5
        for n in range(math.ceil(self.plan.seconds / step)):
            now = n * step
            for book in self.books:
                self._half_second(book, now, step)
            self._feed_status(now, step)
            while self.waiting and self.waiting[0][0] < now:
                yield heapq.heappop(self.waiting)[2]
        while self.waiting:
            yield heapq.heappop(self.waiting)[2]

    def _half_second(self, book: _Book, now: float, step: float) -> None:
        instrument = book.instrument
        if _within(self.plan.outage, instrument.venue, now):
            return
        if now == int(now):
            self._heartbeat(book, now)
        quiet = _within(self.plan.quiet, instrument.pair, now)
        if not quiet:
            for _ in range(self._poisson(instrument.trades * step)):
                self._trade(book, now + self.random.random() * step)
            for _ in range(self._poisson(instrument.quotes * step)):
                self._quote(book, now + self.random.random() * step)
        every = self.plan.decide_every
        if every and not quiet:
            if book.position and now >= book.close_at:
                self._close(book, now)
            if now and now % every < step:
                self._decide(book, now)

    def _trade(self, book: _Book, at: float) -> None:
        instrument = book.instrument
        book.price *= math.exp(self.random.gauss(0, instrument.volatility))
        book.next_id += 1
        size = Decimal(f"{self.random.lognormvariate(-2, 1.2):.8f}").max(EIGHT)
        tick = Tick(
            event_id=f"{instrument.venue}:trade:{instrument.pair}:{self.run_id}:{book.next_id}",
            kind="trade",
            source_provider=instrument.venue,
            asset_pair=instrument.pair,
            timestamp=self._time(at),
            price=self._rounded(book, book.price),
            size=size,
            trade_id=str(book.next_id),
            venue_sequence=book.next_id,
            aggressor_side=self.random.choice(("buy", "sell")),
            is_mock=True,
        )
        late = self.random.random() < self.plan.late
        delay = self.plan.late_by if late else self.random.random() * self.plan.jitter
        self._send(at + delay, tick, "late" if late else "good")
        if self.random.random() < self.plan.duplicates:
            self._send(at + delay + self.random.random() * 0.5, tick, "duplicate")
        if self.random.random() < self.plan.malformed:
            self._spoil(at + delay, tick)

    def _quote(self, book: _Book, at: float) -> None:
        instrument = book.instrument
        book.next_id += 1
        spread = float(instrument.step) * self.random.randint(1, 5)
        tick = Tick(
            event_id=f"{instrument.venue}:quote:{instrument.pair}:{self.run_id}:{book.next_id}",
            kind="quote",
            source_provider=instrument.venue,
            asset_pair=instrument.pair,
            timestamp=self._time(at),
            bid=self._rounded(book, book.price - spread / 2),
            ask=self._rounded(book, book.price + spread / 2 + float(instrument.step)),
            bid_size=Decimal(f"{self.random.lognormvariate(0, 1):.8f}"),
            ask_size=Decimal(f"{self.random.lognormvariate(0, 1):.8f}"),
            venue_sequence=book.next_id,
            is_mock=True,
        )
        self._send(at + self.random.random() * self.plan.jitter, tick, "good")

    def _heartbeat(self, book: _Book, at: float) -> None:
        instrument = book.instrument
        beat = Tick(
            event_id=f"{instrument.venue}:heartbeat:{instrument.pair}:{self.run_id}:{at:.0f}",
            kind="heartbeat",
            source_provider=instrument.venue,
            asset_pair=instrument.pair,
            timestamp=self._time(at),
            trade_id=str(book.next_id),
            is_mock=True,
        )
        self._send(at + 0.05, beat, "good")

    def _decide(self, book: _Book, at: float) -> None:
        instrument, move = book.instrument, book.price / book.past - 1
        book.past = book.price
        strength = min(abs(move) / (instrument.volatility * 6), 1.0)
        action: Literal["BUY", "SELL", "HOLD"] = "HOLD"
        if strength > 0.15:  # noqa: PLR2004 - below it the move is noise
            action = "BUY" if move > 0 else "SELL"
        number = next(book.decisions)
        decision = AIDecision(
            event_id=f"simulated:decision:{instrument.venue}-{instrument.pair}:{self.run_id}:{number}:0",
            decision_id=f"{self.run_id}-{instrument.venue}-{instrument.pair}-{number}",
            asset_pair=instrument.pair,
            timestamp=self._time(at),
            action=action,
            confidence=Decimal(f"{50 + 50 * strength:.4f}"),
            reasoning=f"price moved {move:+.4%} since the last decision",
            provider_name=self.random.choice(("ensemble", "llama", "gemini")),
            market_context={"price": str(self._rounded(book, book.price))},
            is_mock=True,
        )
        self._send(at + 0.2, decision, "good")
        if action != "HOLD" and book.position is None:
            self._open(book, at, decision)

    def _open(self, book: _Book, at: float, decision: AIDecision) -> None:
        instrument = book.instrument
        slip = 1 if decision.action == "BUY" else -1
        price = self._rounded(book, book.price + slip * float(instrument.step))
        quantity = (Decimal(1000) / price).quantize(EIGHT)
        side: Literal["BUY", "SELL"] = "BUY" if decision.action == "BUY" else "SELL"
        opened = TradeExecution(
            event_id=f"simulated:execution:{decision.decision_id}:open",
            trade_id=f"T-{decision.decision_id}",
            decision_id=decision.decision_id,
            account="demo",
            asset_pair=instrument.pair,
            platform=instrument.venue,
            order_type="market",
            side=side,
            quantity=quantity,
            entry_price=price,
            fee=(price * quantity * _FEE_RATE / 10).quantize(EIGHT),
            timestamp=self._time(at + 0.1),
            status="open",
            is_mock=True,
        )
        book.position, book.close_at = opened, at + self.random.uniform(5, 9)
        self._send(at + 0.4, opened, "good")

    def _close(self, book: _Book, at: float) -> None:
        opened = book.position
        if opened is None:
            return
        price = self._rounded(book, book.price)
        closed = opened.model_copy(
            update={
                "event_id": opened.event_id.removesuffix("open") + "closed",
                "exit_price": price,
                "fee": (price * opened.quantity * _FEE_RATE / 10).quantize(EIGHT),
                "timestamp": self._time(at),
                "status": "closed",
            }
        )
        book.position = None
        self._send(at + 0.3, closed, "good")

    def _feed_status(self, now: float, step: float) -> None:
        if self.plan.outage is None:
            return
        venue, begin, end = self.plan.outage
        for at, status in ((begin, "disconnected"), (end, "connected")):
            if at <= now < at + step and at < self.plan.seconds:
                event = FeedStatus.model_validate(
                    {
                        "event_id": f"{venue}:feed:{self.run_id}:{status}",
                        "source_provider": venue,
                        "timestamp": self._time(now),
                        "status": status,
                        "detail": "simulated outage",
                        "is_mock": True,
                    }
                )
                self._send(now + 0.1, event, "good")

    def _spoil(self, at: float, tick: Tick) -> None:
        whole = tick.wire()
        spoiled = self.random.choice(
            (
                whole[: len(whole) // 2],
                whole.replace(b'"trade"', b'"rumour"', 1),
                whole.replace(b'"price":"', b'"price":"-', 1),
                whole.replace(b'"timestamp":"2', b'"timestamp":"9', 1),
                b"\xff\xfe not json",
            )
        )
        topic = tick.stream.topic or ""
        self._wait(Sent(at, topic, tick.key(), spoiled, "malformed", None))

    def _send(self, at: float, event: Event, intent: Intent) -> None:
        self._wait(Sent(at, event.stream.topic or "", event.key(), event.wire(), intent, event))

    def _wait(self, sent: Sent) -> None:
        heapq.heappush(self.waiting, (sent.at, next(self.order), sent))

    def _time(self, at: float) -> datetime:
        return self.plan.start + timedelta(microseconds=round(at * 1_000_000))

    def _rounded(self, book: _Book, price: float) -> Decimal:
        step = book.instrument.step
        return ((Decimal(f"{price:.8f}") / step).quantize(Decimal(1)) * step).max(step)

    def _poisson(self, mean: float) -> int:
        """Knuth's way; the means here are small (TAOCP volume 2, 3.4.1)."""
        limit, product, count = math.exp(-mean), self.random.random(), 0
        while product > limit:
            product *= self.random.random()
            count += 1
        return count


def _within(spell: tuple[str, float, float] | None, name: str, at: float) -> bool:
    return spell is not None and spell[0] == name and spell[1] <= at < spell[2]
