"""Servers are killed; the jobs go on from their newest state, and nothing is stored twice."""

import signal
from datetime import UTC, datetime

import psutil
import pytest
from integration_tools import Query, cluster_of

from connectors.events import Tick
from connectors.kafka import Publisher, clock_beats
from connectors.progress import await_read
from flink_jobs.run import job, jobs
from ticklake.local import stack as servers
from ticklake.local.flink import client_environment
from ticklake.settings import Settings

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


def beat(settings: Settings) -> None:
    """Send something that the job has to read, and wait until a checkpoint holds it."""
    with Publisher(settings.kafka) as publisher:
        clock_beats(publisher, datetime.now(UTC))
    assert await_read(settings.kafka, job("ticks").group, Tick.stream.topic or "", 120)


def test_after_a_kill_of_all_servers_no_row_is_doubled(stack: Settings, query: Query) -> None:
    """What was stored before is there once, what is sent after arrives, and counts agree."""
    beat(stack)
    for one in servers.status(stack):
        if one.pid:
            psutil.Process(one.pid).send_signal(signal.SIGKILL)

    servers.up(stack)
    cluster = cluster_of(stack)
    for name in jobs():
        cluster.submit(name, client_environment(stack))
    beat(stack)

    rows = query("SELECT count(*), count(DISTINCT event_id) FROM bronze.feed_heartbeats")
    assert rows[0][0] == rows[0][1]
    assert rows[0][0] > 0  # type: ignore[operator]
