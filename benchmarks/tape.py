"""The topic that every contestant reads: the same bytes for the same size and seed, and its ledger.

Trades of 64 pairs over 4 partitions, 32,000 a second of event time, out of order by up to 1.9 s,
2 % sent twice, 0.05 % cut off in the middle. The ledger is what a right lake holds in the end.
"""

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np
from common import java_program
from numpy.typing import NDArray

from ticklake.settings import Settings

PAIRS = 64
PARTITIONS = 4
A_SECOND = 32_000
JITTER_US = 1_900_000
START_US = 1_767_571_200_000_000  # 2026-01-05T00:00:00Z
WINDOW_US = 5_000_000
COPIES = 0.02
CUT = 0.0005
_CHUNK = 200_000

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Ledger:
    """What must be stored: trades once, bars exactly.

    Attributes:
        records: sent, heartbeats of the clock among them.
        trades: distinct.
        malformed: cut off.
        sha256: of all that was sent, in its order.
        bars: number of bars, and over all of them the sums of open, high, low and close (cents),
            volume (1e-8) and trades.
    """

    records: int
    trades: int
    malformed: int
    sha256: str
    bars: dict[str, int]


@dataclass(frozen=True)
class Tape:
    """Distinct trades in the order of event time; columns of equal length.

    Attributes:
        pair: index of the pair.
        time: event time, microseconds since 1970.
        number: the venue's trade id, counted up by pair.
        price: cents.
        size: 1e-8 of the base currency.
    """

    pair: Integers
    time: Integers
    number: Integers
    price: Integers
    size: Integers
    seed: int

    def lines(self) -> Iterator[bytes]:
        """Lines "partition TAB key TAB value" in the order of sending, many lines at a time."""
        random = np.random.default_rng(self.seed + 1)
        count = len(self.time)
        arrival = self.time + random.integers(0, JITTER_US, count)
        copies = np.flatnonzero(random.random(count) < COPIES)
        cut = np.flatnonzero(random.random(count) < CUT)
        which = np.concatenate([np.arange(count), copies, cut])
        at = np.concatenate(
            [
                arrival,
                arrival[copies] + random.integers(0, JITTER_US // 2, len(copies)),
                arrival[cut],
            ]
        )
        broken = np.zeros(len(which), dtype=bool)
        broken[count + len(copies) :] = True
        order = np.argsort(at, kind="stable")
        for start in range(0, len(order), _CHUNK):
            part = order[start : start + _CHUNK]
            yield self._text(which[part], broken[part])
        yield from self._end()

    def _text(self, which: Integers, broken: NDArray[np.bool_]) -> bytes:
        all_columns = (self.pair, self.time, self.number, self.price, self.size)
        columns = (column[which].tolist() for column in all_columns)
        found = []
        for pair, time, number, price, size, cut in zip(*columns, broken.tolist(), strict=True):
            name = f"P{pair:02}USD"
            text = (
                f'{{"event_id":"bench:trade:{name}:{number}","kind":"trade",'
                f'"source_provider":"bench","asset_pair":"{name}",'
                f'"timestamp":"{_iso(time)}","price":"{price // 100}.{price % 100:02}",'
                f'"size":"{size // 100_000_000}.{size % 100_000_000:08}",'
                f'"trade_id":"{number}","aggressor_side":"{"buy" if size & 1 else "sell"}",'
                '"is_mock":true}'
            )
            found.append(f"{pair % PARTITIONS}\t{name}\t{text[:90] if cut else text}\n")
        return "".join(found).encode()

    def _end(self) -> Iterator[bytes]:
        """A heartbeat of the clock in each partition, far enough on to close every window."""
        time = _iso(int(self.time[-1]) + 30_000_000)
        for partition in range(PARTITIONS):
            yield (
                f'{partition}\tCLOCK\t{{"event_id":"bench:clock:{partition}","kind":"heartbeat",'
                f'"source_provider":"clock","asset_pair":"CLOCK","timestamp":"{time}"}}\n'
            ).encode()

    def bars(self) -> dict[str, int]:
        """See `Ledger.bars`."""
        window = self.time // WINDOW_US
        order = np.lexsort((self.number, self.time, window, self.pair))
        key = (self.pair * 2**40 + window)[order]
        first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        last = np.concatenate([first[1:], [len(key)]]) - 1
        price = self.price[order]
        return {
            "bars": len(first),
            "open": int(price[first].sum()),
            "high": int(np.maximum.reduceat(price, first).sum()),
            "low": int(np.minimum.reduceat(price, first).sum()),
            "close": int(price[last].sum()),
            "volume": int(self.size.sum()),
            "trades": len(key),
        }


def _iso(micros: int) -> str:
    seconds, rest = divmod(micros - START_US, 1_000_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"2026-01-05T{hour:02}:{minute:02}:{second:02}.{rest:06}Z"


def tape(trades: int, seed: int) -> Tape:
    """A tape of so many distinct trades; at most 20 hours' worth."""
    random = np.random.default_rng(seed)
    time = START_US + np.arange(trades, dtype=np.int64) * 1_000_000 // A_SECOND
    pair = random.integers(0, PAIRS, trades)
    number = np.zeros(trades, dtype=np.int64)
    price = np.zeros(trades, dtype=np.int64)
    for one in range(PAIRS):
        mine = np.flatnonzero(pair == one)
        number[mine] = 1_000_000 + np.arange(len(mine))
        steps = random.integers(-3, 4, len(mine)).cumsum()
        price[mine] = np.maximum(10_000 + 100 * one + steps, 1)
    size = random.integers(1, 300_000_000, trades)
    return Tape(pair, time, number, price, size, seed)


def load(settings: Settings, topic: str, trades: int, seed: int = 1) -> Ledger:
    """Put a tape into a topic; give its ledger.

    Raises:
        subprocess.CalledProcessError: the broker did not take it.
    """
    one = tape(trades, seed)
    records = malformed = 0
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        broker = settings.kafka.bootstrap_servers
        command = java_program(settings, Path(folder), "bench.Load", broker, topic)
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            into = cast("IO[bytes]", process.stdin)
            for lines in one.lines():
                into.write(lines)
                digest.update(lines)
                records += lines.count(b"\n")
                malformed += lines.count(b"\n") - lines.count(b"}\n")
            into.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    return Ledger(records, trades, malformed, digest.hexdigest(), one.bars())
