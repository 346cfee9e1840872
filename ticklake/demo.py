"""The main job from end to end: a simulated market through Kafka, Flink, Iceberg, SQLMesh, Soda."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from connectors.errors import UnavailableError
from connectors.events import CLOCK, Tick
from connectors.kafka import Publisher, clock_beats
from connectors.settings import KafkaSettings
from connectors.sources.simulated import Plan, Sent, simulate
from connectors.stream import Event
from ticklake import queries
from ticklake.settings import Settings

_SETTLE = timedelta(seconds=8)  # window, watermark delay and a second
_PATIENCE_SECONDS = 90.0
_TICKS = Tick.stream.topic or ""


@dataclass
class Ledger:
    """What was sent, by what it was meant to be; `sent_at` is epoch seconds by event id."""

    run_id: str
    began: datetime
    intents: Counter[str] = field(default_factory=Counter)
    tables: Counter[str] = field(default_factory=Counter)
    clock_beats: int = 0
    sent_at: dict[str, float] = field(default_factory=dict)

    def note(self, sent: Sent) -> None:
        """Write down one record, before it goes."""
        self.intents[sent.intent] += 1
        if sent.event is not None and sent.intent != "duplicate":
            self.tables[table_of(sent.event)] += 1
            self.sent_at[sent.event.event_id] = time.time()


def table_of(event: Event) -> str:
    """The bronze table that keeps this event."""
    select = event.stream.select
    kind = getattr(event, select) if select else None
    return next(t.name for t in event.stream.tables if t.value == kind)


def stream_market(
    settings: KafkaSettings, plan: Plan, told: Callable[[float, Ledger], None]
) -> Ledger:
    """Send a market in real time, with the clock's heartbeats, until its last window can close.

    Args:
        settings: names the broker.
        plan: its start is replaced by now.
        told: called about once a second with the seconds gone and the ledger.

    Raises:
        UnavailableError: something was not delivered.
    """
    start = datetime.now(UTC)
    plan = Plan(**{**plan.__dict__, "start": start})
    ledger = Ledger(f"{start:%Y%m%d%H%M%S}-{plan.seed}", start)
    with Publisher(settings) as publisher:
        began = next_beat = time.monotonic()
        last = 0.0

        def beat_until(due: float) -> None:
            nonlocal next_beat
            while (now := time.monotonic()) < due:
                if now >= next_beat:
                    ledger.clock_beats += clock_beats(publisher, datetime.now(UTC))
                    told(now - began, ledger)
                    next_beat += 1
                time.sleep(max(0.0, min(due, next_beat) - time.monotonic()))

        for sent in simulate(plan):
            beat_until(began + sent.at)
            ledger.note(sent)
            publisher.send_raw(sent.topic, sent.key, sent.value)
            last = sent.at
        beat_until(began + last + _SETTLE.total_seconds())
    return ledger


def await_complete(settings: Settings, ledger: Ledger) -> None:
    """Beat the clock until all that the ledger holds is committed in bronze.

    Raises:
        UnavailableError: it did not happen in time; says what to look at.
    """
    until = datetime.now(UTC)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with Publisher(settings.kafka) as publisher:
        while time.monotonic() < deadline:
            ledger.clock_beats += clock_beats(publisher, datetime.now(UTC))
            publisher.flush()
            rows = queries.run(settings, "SELECT complete_through FROM bronze.stream_progress").rows
            if rows and rows[0][0] is not None and rows[0][0] > until:
                return
            time.sleep(1)
    raise UnavailableError(
        f"bronze did not become complete within {_PATIENCE_SECONDS:.0f} s; see `ticklake jobs` "
        "and `ticklake logs taskmanager`"
    )


class Reader:
    """An outside reader: asks Trino again and again which trades it can see.

    A trade's freshness is the time from just before it was handed to the producer to the end of
    the first query that showed it.
    """

    def __init__(self, settings: Settings, ledger_began: datetime) -> None:
        """Only trades that the broker had after `ledger_began` are looked for."""
        self._settings = settings
        self._since = ledger_began
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._fault: Exception | None = None
        self.seen: dict[str, float] = {}
        """Epoch seconds at which an event id was first visible."""

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def finish(self) -> None:
        """Ask no more.

        Raises:
            Exception: whatever made the reading fail.
        """
        self._stop.set()
        self._thread.join(timeout=30)
        if self._fault is not None:
            raise self._fault

    def freshness(self, ledger: Ledger) -> list[float]:
        """Seconds from sent to visible, ascending, of the trades that came on time."""
        return sorted(
            seen - ledger.sent_at[event_id]
            for event_id, seen in self.seen.items()
            if event_id in ledger.sent_at
        )

    def _read(self) -> None:
        since = self._since
        try:
            while not self._stop.is_set():
                rows = queries.run(
                    self._settings,
                    "SELECT event_id, _ingested_at FROM bronze.raw_trades"
                    ' WHERE _ingested_at >= ? AND "timestamp" >= ?',
                    (since, self._since - timedelta(minutes=1)),
                ).rows
                now = time.time()
                for event_id, ingested in rows:
                    self.seen.setdefault(event_id, now)
                    # Partitions commit together, yet leave a margin behind the newest.
                    since = max(since, ingested - timedelta(seconds=30))
                self._stop.wait(0.3)
        except Exception as error:  # noqa: BLE001 - raised again by finish(), in the main thread
            self._fault = error


def quantile(ascending: list[float], share: float) -> float:
    """The nearest-rank quantile of sorted values; 0 of none."""
    if not ascending:
        return 0.0
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]


def stored(settings: Settings, ledger: Ledger, tables: list[str]) -> dict[str, int]:
    """Rows of this run by table; a late trade counts where it was merged into raw_trades.

    Raises:
        UnavailableError: Trino does not answer.
    """
    found = {}
    for table in tables:
        rows = queries.run(
            settings,
            f'SELECT count(*), count(DISTINCT event_id) FROM bronze."{table}"'  # noqa: S608 - declared names
            " WHERE _ingested_at >= ? AND event_id LIKE ?",
            (ledger.began - timedelta(seconds=5), f"%{ledger.run_id}%"),
        ).rows
        found[table] = int(rows[0][0])
    dead = queries.run(
        settings,
        'SELECT count(*) FROM bronze.dead_letters WHERE topic = ? AND "timestamp" >= ?',
        (_TICKS, ledger.began),
    ).rows
    clock = queries.run(
        settings,
        "SELECT count(*) FROM bronze.feed_heartbeats WHERE source_provider = ? AND"
        " _ingested_at >= ?",
        (CLOCK, ledger.began),
    ).rows
    return found | {"dead_letters": int(dead[0][0]), "clock": int(clock[0][0])}
