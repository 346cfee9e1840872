"""Faults that come with the stream: partitions, clocks, copies, a hot key; and a second job."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from broker_log import records
from fault_run import Run
from faulty_stack import JOB, wait_until
from ledger import TOPIC, WINDOW_US, Ledger, Send
from oracle import BARS_TOPIC, Oracle, Rows

from connectors import kafka
from connectors.errors import TicklakeError
from connectors.events import Bar5s

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]
_DISCOVERY_SECONDS = 12
_QUIET_SECONDS = 10
_HOT = 6_840  # trades of SPY in five seconds of a real tape


def test_18_quiet_partition_that_wakes(run: Run) -> None:
    """Windows wait for a partition that is silent, and nothing of it is late when it wakes."""
    with run.streaming() as ledger:
        since = run.lake.ends()[BARS_TOPIC]
        ledger.quiet = {0}
        asleep = ledger.event_us
        time.sleep(_QUIET_SECONDS)
        closed = [
            bar.window_end.timestamp()
            for record in records(run.lake.servers, BARS_TOPIC, since)
            if (bar := Bar5s.model_validate_json(record.value)).source_provider == ledger.venue
        ]
        assert max(closed, default=0) <= asleep / 1e6, "a window closed without a partition"
        ledger.quiet = set()


def test_19_clocks_far_in_the_future(run: Run) -> None:
    """They are dead letters and move no watermark: what follows is on time, and in its bar."""
    with run.streaming(before=3, after=6) as ledger:
        wait_until(lambda: any(s.intent == "good" for s in ledger.sends), 10, "nothing was sent")
        whole = next(s for s in ledger.sends if s.intent == "good").payload
        at = whole.index(b'"timestamp":"') + len(b'"timestamp":"')
        end = whole.index(b'"', at)
        for time_given in (
            b"2038-01-19T03:14:08Z",
            b"9999-12-31T23:59:59Z",
            b"58000-01-01T00:00:00Z",
        ):
            for partition in range(ledger.partitions()):
                ledger.poison(whole[:at] + time_given + whole[end:], partition)
        nanoseconds = str(time.time_ns()).encode()
        ledger.poison(whole[: at - 1] + nanoseconds + whole[end + 1 :])


def test_22_copies_and_conflicts_after_a_restart_from_state(run: Run) -> None:
    """Ids that were remembered before a savepoint are remembered behind it."""
    with run.streaming() as ledger:
        known = [s for s in ledger.sends if s.intent == "good"][:200]
        cluster = run.lake.cluster()
        run.fault()
        cluster.stop(JOB, savepoint=True)
        send_again(ledger, known)
        run.lake.submit()
        run.await_commit()
        send_again(ledger, known)


def send_again(ledger: Ledger, known: list[Send]) -> None:
    """A copy of each, in turn to each partition, and a conflict of each tenth."""
    for n, send in enumerate(known):
        ledger.copy(send, n % ledger.partitions())
        if n % 10 == 0:
            ledger.conflict(send)


def test_28_hot_key(run: Run) -> None:
    """6,840 trades of one pair in one window, beside the others."""
    with run.streaming(before=1, after=0) as ledger:
        window = (ledger.event_us // WINDOW_US + 1) * WINDOW_US
        ledger.burst[window] = _HOT
        wait_until(lambda: ledger.event_us >= window + WINDOW_US, 120, "the burst is not over")
        trades = sum(
            s.event is not None and s.event.asset_pair == ledger.pairs[0] for s in ledger.sends
        )
        assert trades >= _HOT


def test_30_second_copy_of_the_job_is_refused(run: Run) -> None:
    """By name, while the first runs on."""
    with run.streaming(before=2, after=2):
        with pytest.raises(TicklakeError, match="runs already"):
            run.lake.submit()
        assert sum(j.name == JOB and not j.ended for j in run.lake.cluster().jobs()) == 1


def test_00_pair_never_seen_before(run: Run) -> None:
    """It needs no setting: it lands in bronze and in bars."""
    with run.streaming(before=2, after=3) as ledger:
        ledger.pairs.append(f"NEW{run.seed}-X/Y.{run.random.randrange(10**6)}")


def test_17_partitions_added_live(run: Run) -> None:
    """They are found, and read from their first record."""
    with run.streaming(strays=True) as ledger:
        count = ledger.partitions()
        with kafka.admin(run.lake.settings.kafka) as admin:
            admin.create_partitions({TOPIC: count + 2})
        run.fault()
        wait_until(lambda: ledger.partitions() == count + 2, 30, "the producer does not see them")
        time.sleep(_DISCOVERY_SECONDS)
        run.await_commit(lasting=_DISCOVERY_SECONDS)
        assert {s.partition for s in ledger.sends} >= {count, count + 1}


Change = Callable[[Rows], Rows]


def test_00_oracle_sees_what_is_lost_doubled_or_changed(run: Run) -> None:
    """Each damage to what it reads is told under its rule; else no scenario could fail."""
    since = run.lake.ends()
    with run.streaming(before=2, after=1) as ledger:
        pass

    class Damaged(Oracle):
        damage: ClassVar[dict[str, Change]] = {}

        def rows(self, name: str) -> Rows:
            found = sorted(super().rows(name), key=lambda row: row["event_id"])
            return self.damage.get(name, list)(found)

    oracle = run.oracle(ledger, since, Damaged)

    def told(table: str, change: Change) -> set[str]:
        Damaged.damage = {table: change}
        return {fault.split()[0] for fault in oracle.check()}

    assert told("raw_trades", lambda rows: rows) == set()
    assert "O1" in told("raw_trades", lambda rows: rows[1:])
    assert "O2" in told("raw_trades", lambda rows: [*rows, rows[0]])
    assert "O10" in told("raw_trades", lambda rows: [changed(rows[0], "price"), *rows[1:]])
    assert {"O4", "O8"} <= told(
        "market_bars_5s", lambda rows: [changed(rows[0], "volume"), *rows[1:]]
    )
    assert {"O4", "O8"} <= told("market_bars_5s", lambda rows: rows[1:])
    assert "O3" in told("dead_letters", newest_gone)
    assert "O5" in told("commit_receipts", newest_gone)
    assert "O5" in told("commit_receipts", lambda rows: [*rows, rows[0]])


def changed(row: dict[str, Any], column: str) -> dict[str, Any]:
    """The row with one more in a column."""
    return row | {column: row[column] + 1}


def newest_gone(rows: Rows) -> Rows:
    """All rows but the newest."""
    newest = max(rows, key=lambda row: row["timestamp"])
    return [row for row in rows if row is not newest]
