"""What was sent, and what became of each send: the ground on which the oracle stands.

A thread publishes trades of one venue over all partitions, with what real feeds do: jitter, copies,
the same id with another price, broken records, trades that come a minute late. Event times follow a
clock of its own, never ahead of the wall's, so a slow machine sends late but in order: an on-time
trade is never behind its own partition's watermark.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from connectors.events import CLOCK, Tick
from connectors.settings import KafkaSettings

Intent = Literal["good", "copy", "conflict", "late", "poison", "beat", "clock"]
Outcome = Literal["acked", "failed", "unknown"]

TOPIC = Tick.stream.topic or ""
WINDOW_US = 5_000_000
_STEP_US = 50_000
_SECOND_US = 1_000_000
# together below the watermark's delay of 2 s, for a copy may come before its original
_JITTER_US = 1_200_000
_COPY_DELAY_US = 500_000
_LATE_US = 60_000_000
_COPIES, _CONFLICTS, _LATE, _POISON = 0.02, 0.005, 0.005, 0.005
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Send:
    """One record as it was handed to the producer; `id` is None where it holds no event."""

    number: int
    intent: Intent
    id: str | None
    key: bytes
    payload: bytes
    event: Tick | None
    partition: int
    error: KafkaError | None = None
    future: Any = field(default=None, repr=False)

    @property
    def outcome(self) -> Outcome:
        """Failed: it never left the producer. Unknown: it may be on the broker."""
        if self.error is not None:
            return "failed"
        return "acked" if self.future.is_done and self.future.succeeded() else "unknown"

    @property
    def offset(self) -> int | None:
        """Where it stands, if the broker said so."""
        return self.future.value.offset if self.outcome == "acked" else None


class Ledger:
    """Publishes from the opening as a context manager until `finish`."""

    def __init__(
        self, kafka: KafkaSettings, venue: str, seed: int, *, rate: int = 300, pairs: int = 8
    ) -> None:
        """Connect; nothing is sent yet."""
        self.venue = venue
        self.sends: list[Send] = []
        self.pairs = [f"P{n}USD" for n in range(pairs)]
        self.quiet: set[int] = set()
        """Partitions to which nothing goes, not even the clock."""
        self.burst: dict[int, int] = {}
        """Start of a window, microseconds: trades of the first pair in it, beside the others."""
        self.event_us = 0
        """The ledger's clock: what happens now at the venue."""
        self.fault: BaseException | None = None
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._rate = rate
        self._ids = 0
        self._prices: dict[str, int] = {}
        self._later: list[tuple[int, Callable[[], None]]] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"ledger {venue}", daemon=True)
        self._producer = KafkaProducer(
            bootstrap_servers=kafka.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=10,
            max_block_ms=90_000,
            delivery_timeout_ms=180_000,
            request_timeout_ms=20_000,
            reconnect_backoff_max_ms=1_000,
            metadata_max_age_ms=2_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )

    def __enter__(self) -> Self:
        """Start to publish."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop at once, and disconnect."""
        self._stopping.set()
        self._abandoned = True
        self._thread.join(60)
        self._producer.close(timeout=5)

    def finish(self) -> None:
        """Stop at the next edge of a window, and wait for every answer of the broker.

        Raises:
            RuntimeError: the thread failed or hangs.
        """
        self._stopping.set()
        self._thread.join(200)
        if self.fault or self._thread.is_alive():
            raise RuntimeError(f"the ledger of {self.venue} stopped") from self.fault
        self._producer.flush(timeout=200)

    def partitions(self) -> int:
        """How many partitions the topic has now."""
        return len(self._producer.partitions_for(TOPIC) or ())

    def copy(self, of: Send, partition: int | None = None) -> None:
        """Send the same bytes again."""
        self._send(
            "copy", of.id, of.payload, of.event, of.partition if partition is None else partition
        )

    def conflict(self, of: Send) -> None:
        """Send the same id with another price, behind the first."""
        event = of.event
        if event is None or event.price is None:
            raise TypeError("a trade is needed")
        if of.partition in self.quiet:
            return
        other = event.model_copy(update={"price": event.price + Decimal("0.5")})
        self._send("conflict", of.id, other.wire(), other, of.partition)

    def poison(self, payload: bytes, partition: int | None = None) -> None:
        """Send bytes that are to be refused."""
        with self._lock:
            chosen = self._somewhere() if partition is None else partition
            self._send("poison", None, payload, None, chosen)

    def clock(self, at_us: int) -> None:
        """A beat of the clock to each partition that is not quiet."""
        for partition in range(self.partitions()):
            if partition not in self.quiet:
                self._beat(CLOCK, CLOCK.upper(), at_us, partition, "clock")

    def close_windows(self) -> None:
        """Beats behind the last window's end; call it behind `finish`."""
        self.clock(self.event_us + 2_200_000)
        self._producer.flush(timeout=60)

    def _run(self) -> None:
        try:
            at = time.time_ns() // 1000 // _STEP_US * _STEP_US
            while not (self._stopping.is_set() and (at % WINDOW_US == 0 or self._abandoned)):
                time.sleep(max(0.0, at / 1e6 - time.time()))
                self.event_us = at
                with self._lock:
                    self._step(at)
                at += _STEP_US
            while self._later:
                self._later.pop()[1]()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for the thread
            self.fault = error

    def _step(self, at: int) -> None:
        if at % _SECOND_US == 0:
            self.clock(at)
            self._beat(self.venue, self.pairs[0], at, self._home(self.pairs[0]), "beat")
        for _ in range(self._rate * _STEP_US // _SECOND_US):
            self._trade(
                self._random.choice(self.pairs), at - self._random.randrange(_JITTER_US), at
            )
        begin = at // WINDOW_US * WINDOW_US
        if total := self.burst.get(begin, 0):
            steps = WINDOW_US // _STEP_US
            n = (at - begin) // _STEP_US
            for k in range(total * n // steps, total * (n + 1) // steps):
                self._hot(begin + k * WINDOW_US // total)
        due = [entry for entry in self._later if entry[0] <= at]
        self._later = [entry for entry in self._later if entry[0] > at]
        for _, action in due:
            action()

    def _trade(self, pair: str, event_us: int, at: int) -> None:
        draw = self._random.random()
        late = draw < _LATE
        sent = self._send_trade(pair, event_us - _LATE_US if late else event_us, late=late)
        delay = at + self._random.randrange(_COPY_DELAY_US)
        if _LATE <= draw < _LATE + _COPIES:
            self._later.append((delay, lambda: self.copy(sent, self._somewhere())))
        elif _LATE + _COPIES <= draw < _LATE + _COPIES + _CONFLICTS:
            self._later.append((delay, lambda: self.conflict(sent)))
        elif draw > 1 - _POISON:
            self.poison(self._broken(sent.payload))

    def _hot(self, event_us: int) -> None:
        self._send_trade(self.pairs[0], event_us)

    def _send_trade(self, pair: str, event_us: int, *, late: bool = False) -> Send:
        self._ids += 1
        price = self._prices.get(pair, 10_000_000_000) + self._random.randint(-9_999, 9_999)
        self._prices[pair] = price
        event = Tick(
            event_id=f"{self.venue}:trade:{pair}:{self._ids}",
            kind="trade",
            source_provider=self.venue,
            asset_pair=pair,
            timestamp=_EPOCH + timedelta(microseconds=event_us),
            price=Decimal(price).scaleb(-8),
            size=Decimal(self._random.randint(1, 10**9)).scaleb(-8),
            trade_id=str(self._ids),
            venue_sequence=self._ids,
            aggressor_side=self._random.choice(("buy", "sell")),
            is_mock=True,
        )
        intent: Intent = "late" if late else "good"
        return self._send(intent, event.event_id, event.wire(), event, self._home(pair))

    def _beat(self, venue: str, pair: str, at_us: int, partition: int, intent: Intent) -> None:
        event = Tick(
            event_id=f"{venue}:beat:{partition}:{at_us}:{time.time_ns()}",
            kind="heartbeat",
            source_provider=venue,
            asset_pair=pair,
            timestamp=_EPOCH + timedelta(microseconds=at_us),
            is_mock=True,
        )
        self._send(intent, event.event_id, event.wire(), event, partition)

    def _send(
        self,
        intent: Intent,
        identity: str | None,
        payload: bytes,
        event: Tick | None,
        partition: int,
    ) -> Send:
        with self._lock:
            key = event.key() if event else b"broken"
            sent = Send(len(self.sends), intent, identity, key, payload, event, partition)
            self.sends.append(sent)
            header = [("send", f"{self.venue}:{sent.number}".encode())]
            try:
                sent.future = self._producer.send(
                    TOPIC, payload, key, headers=header, partition=partition
                )
            except KafkaError as error:
                sent.error = error
            return sent

    def _home(self, pair: str) -> int:
        open_ones = [p for p in range(self.partitions()) if p not in self.quiet]
        return open_ones[self.pairs.index(pair) % len(open_ones)]

    def _somewhere(self) -> int:
        return self._random.choice([p for p in range(self.partitions()) if p not in self.quiet])

    def _broken(self, whole: bytes) -> bytes:
        return self._random.choice(
            (
                whole[: len(whole) // 2],
                whole.replace(b'"trade"', b'"rumour"', 1),
                whole.replace(b'"price":"', b'"price":"-', 1),
                whole.replace(b'"timestamp":"2', b'"timestamp":"9', 1),
                b"\xff\xfe not json",
                b"",
            )
        )
