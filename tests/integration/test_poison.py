"""The whole corpus of bad records goes through the real stack; then some of it is repaired."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from integration_tools import Query, read_topic
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError
from poison import Case, corpus
from stack_fixture import environment

from connectors import headers
from connectors.errors import UnavailableError
from connectors.events import Candle, Tick
from connectors.kafka import Publisher, dead_letter_topic
from connectors.progress import await_read
from flink_jobs.cluster import Cluster
from flink_jobs.run import jobs
from iceberg_catalog.tables import tables
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

STOPS_THE_JOB = {"10 MB"}
CASES = [case for case in corpus() if case.name not in STOPS_THE_JOB]
BY_NAME = {case.name: case for case in CASES}
TOPICS = sorted({case.topic for case in CASES})


@dataclass
class Judged:
    """What became of each case, by its name: a row of dead_letters, or the stored event's id."""

    dead: dict[str, dict[str, Any]]
    stored: dict[str, str]
    returned: dict[tuple[str, int, int], Any]
    restarts: int


def producer(settings: Settings) -> Any:  # noqa: ANN401 - the client has no types
    """A client that is allowed more than the topics."""
    return KafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap_servers,
        acks="all",
        compression_type="zstd",
        linger_ms=50,
        max_request_size=32 * 1024 * 1024,
    )


def restarts(cluster: Cluster) -> int:
    """Of all jobs together."""
    return sum(int(cluster.metric_of_job(cluster.running(name), "numRestarts")) for name in jobs())


def await_all_read(settings: Settings) -> None:
    """Until checkpoints hold all of the topics."""
    for of in jobs().values():
        for event in of.events:
            assert await_read(settings.kafka, of.group, event.stream.topic or "", 120)


def stored_rows(query: Query, condition: str) -> list[list[Any]]:
    """Topic, partition, offset and id of bronze rows, from whichever table."""
    union = " UNION ALL ".join(
        f"SELECT '{t.event.stream.topic}', _kafka_partition, _kafka_offset, event_id"
        f" FROM bronze.{t.name} WHERE {condition}"
        for t in tables()
        if t.event.stream.made_by == "connectors"
    )
    return query(union)


@pytest.fixture(scope="module")
def judged(stack: Settings, query: Query, cluster: Cluster) -> Judged:
    """The corpus is published, and every record is in a table."""
    before = restarts(cluster)
    client = producer(stack)
    futures = {
        case.name: client.send(case.topic, case.value, case.key, headers=[*case.headers])
        for case in CASES
    }
    client.flush(timeout=60)
    places = {}
    for name, future in futures.items():
        found = future.get(timeout=60)
        places[found.topic, found.partition, found.offset] = name
    client.close()
    await_all_read(stack)

    deadline = time.monotonic() + 90
    while True:
        names = ("topic", "partition", "offset", "error_code", "error_message", "record_key")
        names += ("payload", "headers", "attempts", "event_id")
        listed = ", ".join(f'"{name}"' for name in names)
        rows = [
            dict(zip(names, row, strict=True))
            for row in query(f"SELECT {listed} FROM bronze.dead_letters")
        ]
        dead = {
            places[place]: row
            for row in rows
            if (place := (row["topic"], row["partition"], row["offset"])) in places
        }
        stored = {
            places[row[0], row[1], row[2]]: row[3]
            for row in stored_rows(query, "event_id LIKE 'poison:%'")
            if (row[0], row[1], row[2]) in places
        }
        if len(dead) + len(stored) >= len(places):
            break
        missing = sorted(set(futures) - set(dead) - set(stored))
        assert time.monotonic() < deadline, f"nowhere: {missing[:20]}"
        time.sleep(1)
    returned = {}
    for topic in TOPICS:
        for record in read_topic(stack, dead_letter_topic(topic)):
            told: dict[str, bytes] = dict(record.headers)  # type: ignore[attr-defined]
            place = topic, int(told["source_partition"]), int(told["source_offset"])
            if place in places:
                returned[place] = record
    return Judged(dead, stored, returned, restarts(cluster) - before)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_record_gets_what_it_deserves(case: Case, judged: Judged) -> None:
    """Stored once, or a dead letter with code, reason, key and bytes, in both places."""
    if case.code is None:
        assert case.name not in judged.dead, judged.dead[case.name]["error_message"]
        assert judged.stored[case.name] == case.event_id
        return

    assert case.name in judged.dead, "it was stored"
    row = judged.dead[case.name]
    assert row["error_code"] == case.code, row["error_message"]
    assert case.says in row["error_message"]
    assert (row["record_key"], row["payload"]) == (case.key, case.value)
    record = judged.returned[row["topic"], row["partition"], row["offset"]]
    assert (record.key, record.value) == (case.key, case.value)
    assert dict(record.headers)["error_code"] == case.code.encode()
    assert case.name not in judged.stored


def test_nothing_of_it_restarts_a_job(judged: Judged, cluster: Cluster) -> None:
    """Hundreds of kinds of bad input later the jobs run on."""
    assert judged.restarts == 0
    assert all(cluster.running(name) for name in jobs())


def test_headers_are_kept_in_order_with_repeats(judged: Judged) -> None:
    """Bytes that are no text, and names that are no ASCII, too."""
    row = judged.dead["odd headers"]

    assert headers.unpacked(row["headers"]) == list(BY_NAME["odd headers"].headers)
    assert row["attempts"] == 0


def test_reasons_are_for_people(judged: Judged) -> None:
    """One line that ends, without a word on the parser's settings."""
    for name, row in judged.dead.items():
        message = row["error_message"]
        assert "\n" not in message, name
        assert "REDACTED" not in message, name
        assert "StreamReadConstraints" not in message, name


def test_ten_megabytes_are_refused_by_our_client_and_by_the_broker(stack: Settings) -> None:
    """What does not compress never arrives; the client says so before, the broker after."""
    noise = Random(1).randbytes(10_000_000)  # noqa: S311 - it shall only not compress
    client = producer(stack)

    with pytest.raises(MessageSizeTooLargeError):
        client.send("market.ticks.v1", noise, b"BTCUSD").get(timeout=60)
    with (
        pytest.raises(UnavailableError, match="larger than the maximum request size"),
        Publisher(stack.kafka) as publisher,
    ):
        publisher.send_raw("market.ticks.v1", b"BTCUSD", noise)

    client.close()


def test_ten_megabytes_that_compress_are_a_dead_letter(
    judged: Judged, stack: Settings, query: Query, cluster: Cluster
) -> None:
    """The broker counts bytes after compression: blanks pass it, and must not stop the job."""
    before = restarts(cluster)
    (case,) = (one for one in corpus() if one.name in STOPS_THE_JOB)
    client = producer(stack)
    place = client.send(case.topic, case.value, case.key).get(timeout=60)
    client.close()

    await_all_read(stack)
    await_status(query, f"{case.topic}:{place.partition}:{place.offset}", "open")
    assert restarts(cluster) == before


def ticklake(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on the stack."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.main", "dlq", *arguments],
        env=os.environ | environment(settings),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def await_status(query: Query, identifier: str, wanted: str) -> dict[str, Any]:
    """Until a dead letter has come so far."""
    names = ("status", "newer_id", "stored_table", "stored_partition", "stored_offset", "attempts")
    deadline = time.monotonic() + 90
    while True:
        ((*values,),) = query(
            f"SELECT {', '.join(names)} FROM bronze.dead_letter_status"
            f" WHERE event_id = '{identifier}'"
        )
        found = dict(zip(names, values, strict=True))
        if found["status"] == wanted:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(1)


def test_a_fixed_record_is_stored_once_and_linked(
    judged: Judged, stack: Settings, query: Query, tmp_path: Path
) -> None:
    """Exported, edited, sent; also when the same is sent twice for want of a note."""
    repaired = {
        "Candle.open missing": (Candle, {"open": "2"}),
        "price 0": (Tick, {"price": "1.5"}),
    }
    ids = {name: judged.dead[name]["event_id"] for name in repaired}
    chosen = [a for identifier in ids.values() for a in ("--id", identifier)]
    lines = []
    for line in ticklake(stack, "export", *chosen).stdout.splitlines():
        found = json.loads(line)
        name = next(n for n, identifier in ids.items() if identifier == found["id"])
        lines.append(found | {"payload": found["payload"] | repaired[name][1]})
    file = tmp_path / "fix.ndjson"
    file.write_text("\n".join(json.dumps(line) for line in lines))

    done = ticklake(stack, "replay", "--fix", str(file), "--yes", "--json")
    assert done.returncode == 0, done.stderr
    with Publisher(stack.kafka) as publisher:
        for record in (r for topic in TOPICS for r in read_topic(stack, topic)):
            if dict(record.headers).get(headers.ATTEMPT):  # type: ignore[attr-defined]
                publisher.send_raw(record.topic, record.key, record.value)  # type: ignore[attr-defined]
    await_all_read(stack)
    again = ticklake(stack, "replay", *chosen, "--yes", "--json")

    assert json.loads(done.stdout)["sent"] == {"market.candles.v1": 1, "market.ticks.v1": 1}
    for name, identifier in ids.items():
        link = await_status(query, identifier, "replayed")
        rows = stored_rows(query, f"event_id = '{BY_NAME[name].event_id}'")
        assert [[link["stored_partition"], link["stored_offset"]]] == [r[1:3] for r in rows]
    assert json.loads(again.stdout)["sent"] == {}
    assert (
        "replayed: stored in bronze.raw_market_data_1m"
        in ticklake(stack, "show", ids["Candle.open missing"]).stdout
    )


def test_what_is_still_bad_comes_back_with_one_attempt_more(
    judged: Judged, stack: Settings, query: Query
) -> None:
    """The old one names the newer one, which is open; a lower limit parks it."""
    identifier = judged.dead["Tick.kind = bar"]["event_id"]

    ticklake(stack, "replay", "--id", identifier, "--yes")
    await_all_read(stack)
    newer = await_status(query, identifier, "failed_again")["newer_id"]
    parked = ticklake(stack, "replay", "--id", newer, "--max-attempts", "1", "--yes", "--json")

    assert await_status(query, newer, "open")["attempts"] == 1
    assert [kept["id"] for kept in json.loads(parked.stdout)["parked"]] == [newer]
