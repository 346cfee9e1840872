"""Make a stack of servers as it was when nothing had been sent to it, without a new start."""

import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from integration_tools import cluster_of

from connectors.kafka import admin
from ticklake.local import postgres
from ticklake.settings import Settings

_SECONDS = 60.0
_INTERNAL = "__"


def emptied(settings: Settings) -> Settings:
    """End all jobs; remove all topics, tables, views, models and state.

    Returns:
        The settings again.
    """
    _end_jobs(settings)
    _delete_topics(settings)
    with postgres.connect(settings.local, "ticklake") as database:
        database.execute("TRUNCATE iceberg_tables, iceberg_namespace_properties")
    with postgres.connect(settings.local, "postgres") as database:
        database.execute("DROP DATABASE sqlmesh WITH (FORCE)")
    postgres.finish(settings)
    for uri in (settings.flink.state_dir, settings.catalog.warehouse):
        folder = Path(unquote(urlsplit(uri).path))
        for one in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(one)
    return settings


def _end_jobs(settings: Settings) -> None:
    cluster = cluster_of(settings)
    deadline = time.monotonic() + _SECONDS
    asked: set[str] = set()
    while alive := {job.id: job.name for job in cluster.jobs() if not job.ended}:
        assert time.monotonic() < deadline, f"{alive} do not end"
        for name in (name for one, name in alive.items() if one not in asked):
            cluster.stop(name, savepoint=False)
        asked |= set(alive)  # once each: it may end between a second list and a second stop
        time.sleep(0.5)


def _delete_topics(settings: Settings) -> None:
    with admin(settings.kafka) as client:
        deadline = time.monotonic() + _SECONDS
        while topics := [t for t in client.list_topics() if not t.startswith(_INTERNAL)]:
            assert time.monotonic() < deadline, f"{topics} are still there"
            client.delete_topics(topics, raise_errors=False)
            time.sleep(0.2)
        # offsets of a topic outlive it for a moment, and would count for the next of that name
        while groups := [group["group_id"] for group in client.list_groups()]:
            assert time.monotonic() < deadline, f"groups {groups} are still there"
            client.delete_groups(groups)
            time.sleep(0.2)
