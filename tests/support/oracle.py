"""What must hold of one venue's ticks in the lake, whatever happened on the way.

The broker's log between two drained moments says what arrived; the ledger says what was sent. From
both follow every row, dead letter, receipt and bar. O1 to O10 are the names of the research.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa
from arrived import Arrived, Place
from broker_log import records
from ledger import TOPIC, Ledger
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table

from connectors.events import Bar5s
from connectors.kafka import dead_letter_topic

BARS_TOPIC = Bar5s.stream.topic or ""
TABLES = (
    "raw_trades",
    "late_trades",
    "raw_quotes",
    "feed_heartbeats",
    "market_bars_5s",
    "dead_letters",
    "commit_receipts",
)
_MOST_SHOWN = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Rows = list[dict[str, Any]]

_BARS = """
SELECT asset_pair, CAST(epoch(time_bucket(INTERVAL 5 SECOND, moment)) AS BIGINT) AS second,
  arg_min(price, (moment, seq)) FILTER (WHERE price IS NOT NULL) AS open, max(price) AS high,
  min(price) AS low, arg_max(price, (moment, seq)) FILTER (WHERE price IS NOT NULL) AS close,
  coalesce(sum(size), 0) AS volume, count(price) AS trade_count,
  arg_min(trade_id, (moment, seq)) FILTER (WHERE price IS NOT NULL) AS first_trade_id,
  arg_max(trade_id, (moment, seq)) FILTER (WHERE price IS NOT NULL) AS last_trade_id,
  count(*) FILTER (WHERE price IS NULL) AS heartbeat_count
FROM ledger GROUP BY ALL ORDER BY ALL
"""


class Oracle:
    """All checks for one ledger; `since` are the topics' ends at the drained moment before it."""

    def __init__(
        self, catalog: Catalog, servers: str, ledger: Ledger, since: Mapping[str, Mapping[int, int]]
    ) -> None:
        """Reads the broker's log; the lake is read by `check`."""
        self._catalog = catalog
        self._servers = servers
        self._ledger = ledger
        self._since = since
        self._found: list[str] = []
        self._arrived = list(self._read())
        self._tables: dict[str, Table] = {}

    def check(self, *, strays: bool = False) -> list[str]:
        """The faults found, one line each; none if all is well.

        Args:
            strays: on-time trades may have come late, as in a partition found after its first
                records.
        """
        self._found = []
        self._tables = {name: self._catalog.load_table(("bronze", name)) for name in TABLES}
        on_time = self.rows("raw_trades")
        late = self.rows("late_trades")
        self._sent()
        stored = self._trades(on_time, late, strays=strays)
        dead = self._dead_letters(stored)
        self._receipts(stored, {a.place for a in dead}, len(late))
        self._bars(on_time)
        self._beats()
        self._snapshots()
        self._files()
        self._bars_topic(on_time)
        return self._found

    def _fault(self, rule: str, text: str, examples: Iterable[object] = ()) -> None:
        shown = [str(example) for example in list(examples)[:_MOST_SHOWN]]
        self._found.append(f"{rule} {text}" + (f": {'; '.join(shown)}" if shown else ""))

    def _compare(self, rule: str, what: str, expected: set[Any], found: set[Any]) -> None:
        if missing := expected - found:
            self._fault(rule, f"{len(missing)} {what} missing", missing)
        if extra := found - expected:
            self._fault(rule, f"{len(extra)} {what} too many", extra)

    def rows(self, table: str) -> Rows:
        """Rows of a table that are about this ledger, or of the whole topic."""
        of_topic = table in {"dead_letters", "commit_receipts"}
        only = (
            EqualTo("topic", TOPIC) if of_topic else EqualTo("source_provider", self._ledger.venue)
        )
        rows: Rows = self._tables[table].scan(row_filter=only).to_arrow().to_pylist()
        return rows

    def _read(self) -> Iterator[Arrived]:
        for record in records(self._servers, TOPIC, self._since[TOPIC]):
            mark = dict(record.headers).get("send", b":").decode().rsplit(":", 1)
            own = mark[0] == self._ledger.venue
            yield Arrived(
                (record.partition, record.offset),
                _EPOCH + timedelta(milliseconds=record.timestamp),
                record.key,
                record.value,
                self._ledger.sends[int(mark[1])] if own else None,
            )

    def _sent(self) -> None:
        """The broker keeps what it acknowledged, once, bytes unchanged; nobody else publishes."""
        by_send: dict[int, Arrived] = {}
        for one in self._arrived:
            if one.send is None:
                self._fault("O1", f"a record at {one.place} that the ledger did not send")
                continue
            if one.send.number in by_send:
                self._fault("O1", f"send {one.send.number} is twice on the broker")
            by_send[one.send.number] = one
            if (one.key, one.payload or b"") != (one.send.key, one.send.payload):
                self._fault("O1", f"send {one.send.number} has other bytes on the broker")
        for send in self._ledger.sends:
            there = by_send.get(send.number)
            if send.outcome == "acked" and (
                not there or there.place != (send.partition, send.offset)
            ):
                self._fault("O1", f"acknowledged send {send.number} is not at its place", [there])
            if send.outcome == "failed" and there:
                self._fault("O1", f"send {send.number} failed and is on the broker")

    def _by_id(self) -> dict[str, list[Arrived]]:
        grouped: dict[str, list[Arrived]] = defaultdict(list)
        for one in self._arrived:
            if one.send and one.send.id:
                grouped[one.send.id].append(one)
        return grouped

    def _trades(self, on_time: Rows, late: Rows, *, strays: bool) -> dict[str, Arrived]:
        """O1, O2, O10; gives the record that each stored event came from."""
        rows = [*on_time, *late]
        doubled = [k for k, n in Counter(row["event_id"] for row in rows).items() if n > 1]
        if doubled:
            self._fault("O2", f"{len(doubled)} ids are stored more than once", doubled)
        grouped = self._by_id()
        trades = {k: v for k, v in grouped.items() if v[0].is_trade}
        self._compare("O1", "trades", set(trades), {row["event_id"] for row in rows})
        stored = {k: v[0] for k, v in grouped.items() if k not in trades}
        for row in rows:
            copies = trades.get(row["event_id"], [])
            place = (row["_kafka_partition"], row["_kafka_offset"])
            source = next((one for one in copies if one.place == place), None)
            if source is None:
                self._fault("O10", f"{row['event_id']} came from {place}, where it does not stand")
                continue
            stored[row["event_id"]] = source
            if any(c.place[0] == place[0] and c.place[1] < place[1] for c in copies):
                self._fault("O10", f"{row['event_id']} is not the first of its partition")
            if differing := source.differing(row):
                self._fault("O10", f"{row['event_id']} differs in {differing}")
        meant = {s.id for s in self._ledger.sends if s.intent == "late"}
        unsure = {s.id for s in self._ledger.sends if s.outcome != "acked"}
        wrongly = {row["event_id"] for row in late} - meant - unsure
        if wrongly and not strays:
            self._fault("O4", f"{len(wrongly)} on-time trades came late", wrongly)
        if meant and not late:
            self._fault("O4", "no trade came late")
        return stored

    def _dead_letters(self, stored: Mapping[str, Arrived]) -> list[Arrived]:
        """O3: what was refused, with its bytes, in the table and in the topic; never stored too."""
        dead = [one for one in self._arrived if one.is_dead(stored)]
        rows = self.rows("dead_letters")
        mine = [row for row in rows if self._is_new(row["partition"], row["offset"])]
        found = [
            (row["partition"], row["offset"], row["record_key"], row["payload"] or b"",
             row["error_code"] == "conflict")
            for row in mine
        ]  # fmt: skip
        if len(found) != len(set(found)):
            self._fault("O2", f"{len(found) - len(set(found))} dead letters are doubled")
        expected = {(*one.place, one.key, one.payload or b"", one.has_id) for one in dead}
        self._compare("O3", "dead letters", expected, set(found))
        in_topic = set()
        for record in records(
            self._servers, dead_letter_topic(TOPIC), self._since[dead_letter_topic(TOPIC)]
        ):
            headers = dict(record.headers)
            place = (int(headers["source_partition"]), int(headers["source_offset"]))
            if self._is_new(*place):
                in_topic.add((*place, record.key, record.value or b""))
        self._compare("O3", "records of the dead-letter topic", {e[:4] for e in expected}, in_topic)
        both = {one.place for one in dead} & {one.place for one in stored.values()}
        if both:
            self._fault("O3", "records are stored and dead", both)
        return dead

    def _is_new(self, partition: int, offset: int) -> bool:
        return bool(offset >= self._since[TOPIC].get(partition, 0))

    def _receipts(self, stored: Mapping[str, Arrived], dead: set[Place], late: int) -> None:
        """O5: the chain of each partition from its beginning; and what it counts of this ledger."""
        same: dict[tuple[int, str, int], Rows] = defaultdict(list)
        for row in self.rows("commit_receipts"):
            same[row["partition"], row["job_id"], row["checkpoint_id"]].append(row)
        chains: dict[int, list[Counter[str]]] = defaultdict(list)
        for (partition, _, _), parts in same.items():
            chains[partition].append(_together(parts))
        ends: dict[int, int] = {}
        for one in self._arrived:
            ends[one.place[0]] = max(ends.get(one.place[0], 0), one.place[1] + 1)
        kept = Counter(one.place[0] for one in stored.values())
        refused = Counter(place[0] for place in dead)
        late_found = 0
        for partition, end in ends.items():
            begin = self._since[TOPIC].get(partition, 0)
            self._chain(partition, chains[partition], end)
            mine: Counter[str] = Counter()
            for link in chains[partition]:
                if link["first"] >= begin:
                    mine.update(link)
            late_found += mine["late"]
            counted = (mine["records"], mine["stored"] + mine["late"], mine["dead"])
            there = (end - begin, kept[partition], refused[partition])
            if counted != there:
                where = f"partition {partition} (records, kept, dead)"
                self._fault("O5", f"{where}: receipts say {counted}, the log {there}")
        if late_found != late:
            self._fault("O5", f"receipts say {late_found} late trades, the table has {late}")

    def _chain(self, partition: int, links: list[Counter[str]], end: int) -> None:
        """Without hole or overlap, and each link adds up."""
        at = 0
        for link in sorted(links, key=lambda c: c["first"]):
            if link["first"] != at:
                self._fault("O5", f"partition {partition}: {link['first']} follows {at}")
            at = link["next"]
            became = link["stored"] + link["late"] + link["duplicates"] + link["dead"]
            if not link["next"] - link["first"] == link["records"] == became:
                self._fault("O5", f"partition {partition}: counts do not add up", [link])
        if at != end:
            self._fault("O5", f"partition {partition}: receipts end at {at}, the log at {end}")

    def _bars(self, on_time: Rows) -> None:
        """O4: DuckDB makes the bars of what bronze calls on time, and of the venue's beats."""
        trades = {row["event_id"] for row in on_time}
        events = [
            v[0].send.event
            for k, v in self._by_id().items()
            if v[0].send and v[0].send.event and (k in trades or v[0].send.intent == "beat")
        ]
        ledger = pa.table(
            {
                "asset_pair": [e.asset_pair for e in events],
                "moment": pa.array([e.timestamp for e in events], pa.timestamp("us", "UTC")),
                "price": pa.array([e.price for e in events], pa.decimal128(18, 8)),
                "size": pa.array([e.size for e in events], pa.decimal128(18, 8)),
                "seq": pa.array([e.venue_sequence for e in events], pa.int64()),
                "trade_id": pa.array([e.trade_id for e in events], pa.string()),
            }
        )
        with duckdb.connect() as database:
            database.execute("SET TimeZone = 'UTC'")
            database.register("ledger", ledger)
            expected = set(database.sql(_BARS).fetchall())
        names = ("open", "high", "low", "close", "volume", "trade_count", "first_trade_id",
                 "last_trade_id", "heartbeat_count")  # fmt: skip
        rows = self.rows("market_bars_5s")
        found = [
            (row["asset_pair"], int(row["window_start"].timestamp()), *(row[n] for n in names))
            for row in rows
        ]
        if len(found) != len({bar[:2] for bar in found}):
            self._fault("O2", "bars are doubled")
        self._compare("O4", "bars", expected, set(found))
        if not found:
            self._fault("O4", "there is no bar")

    def _beats(self) -> None:
        """O1, O2: each beat, of the venue and of the clock, is stored once."""
        beats = {k for k, v in self._by_id().items() if not v[0].is_trade}
        column = self._tables["feed_heartbeats"].scan(selected_fields=("event_id",)).to_arrow()
        counts = Counter(column["event_id"].to_pylist())
        self._compare("O1", "heartbeats", beats, beats & set(counts))
        if doubled := [k for k, n in counts.items() if n > 1]:
            self._fault("O2", f"{len(doubled)} heartbeats are stored more than once", doubled)

    def _snapshots(self) -> None:
        """O6: commits of a job go up, rows never go down."""
        for name, table in self._tables.items():
            newest: dict[tuple[str | None, str | None], int] = {}
            total = 0
            for snapshot in table.metadata.snapshots:
                summary = snapshot.summary
                if summary is None:
                    continue
                now = int(summary.additional_properties.get("total-records", total))
                if now < total:
                    self._fault("O6", f"{name} shrank from {total} to {now}")
                total = now
                committed = summary.additional_properties.get("flink.max-committed-checkpoint-id")
                who = (
                    summary.additional_properties.get("flink.job-id"),
                    summary.additional_properties.get("flink.operator-id"),
                )
                if committed is not None:
                    if int(committed) <= newest.get(who, -1):
                        self._fault("O6", f"{name}: checkpoint {committed} of {who} twice")
                    newest[who] = int(committed)

    def _files(self) -> None:
        """O7: each file of the current manifests is there, and each snapshot's list of them."""
        for name, table in self._tables.items():
            paths = {task.file.file_path for task in table.scan().plan_files()}
            paths |= {snapshot.manifest_list for snapshot in table.metadata.snapshots}
            gone = [path for path in paths if not Path(urlsplit(path).path).is_file()]
            if gone:
                self._fault("O7", f"{name}: {len(gone)} files are gone", gone)

    def _bars_topic(self, on_time: Rows) -> None:
        """O8: at least once; the newest of an id is the bar of the table, in all fields.

        One before it may be another only where a trade that was meant to be late is in the bar: a
        job that reads records again may meet it before another partition's clock has gone on.
        """
        sent: dict[str, list[Bar5s]] = defaultdict(list)
        for record in records(self._servers, BARS_TOPIC, self._since[BARS_TOPIC]):
            bar = Bar5s.model_validate_json(record.value)
            if bar.source_provider == self._ledger.venue:
                sent[bar.event_id].append(bar)
        late = {one.id for one in self._ledger.sends if one.intent == "late"}
        may_differ = {
            (row["asset_pair"], int(row["timestamp"].timestamp()) // 5 * 5)
            for row in on_time
            if row["event_id"] in late
        }
        differing = [
            identity
            for identity, bars in sent.items()
            if any(bar != bars[-1] for bar in bars)
            and (bars[-1].asset_pair, int(bars[-1].window_start.timestamp())) not in may_differ
        ]
        if differing:
            self._fault("O8", f"{len(differing)} bars have two contents", differing)
        stored = {row["event_id"]: row for row in self.rows("market_bars_5s")}
        self._compare("O8", "bars of the topic", set(stored), set(sent))
        stale = [
            identity
            for identity, row in stored.items()
            if identity in sent and any(row[name] != value for name, value in sent[identity][-1])
        ]
        if stale:
            self._fault("O8", f"the newest of {len(stale)} bars is not the table's", stale)


def _together(same: Rows) -> Counter[str]:
    """The receipts of one checkpoint, of as many subtasks as there were."""
    link: Counter[str] = Counter()
    for row in same:
        for name in ("records", "stored", "late", "duplicates", "dead"):
            link[name] += row[name]
    link["first"] = min(row["first_offset"] for row in same)
    link["next"] = max(row["next_offset"] for row in same)
    return link
