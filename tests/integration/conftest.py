"""One stack of real servers for all tests here, with its tables and both jobs."""

from collections.abc import Iterator

import pytest
from integration_tools import Query, cluster_of
from stack_fixture import running_stack, temporary_settings

from connectors import kafka
from flink_jobs.cluster import Cluster
from flink_jobs.run import jobs
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables
from ticklake import queries, views
from ticklake.local.flink import client_environment
from ticklake.settings import Settings


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """PostgreSQL, Kafka, Flink and Trino on free ports; nothing was ever sent to them."""
    settings = temporary_settings()
    with running_stack(settings) as started:
        # much of a test is waiting for the next checkpoint
        flink = started.flink.model_copy(update={"checkpoint_seconds": 2})
        running = started.model_copy(update={"flink": flink})
        kafka.apply(running.kafka, kafka.plan(running.kafka))
        with connect(running.catalog) as catalog:
            lake.apply(catalog, tables(), lake.plan(catalog, tables()))
        views.apply(running, views.plan(running))
        cluster = cluster_of(running)
        for name in jobs():
            cluster.submit(name, client_environment(running))
        yield running


@pytest.fixture(scope="session")
def cluster(stack: Settings) -> Cluster:
    """The stack's Flink cluster."""
    return cluster_of(stack)


@pytest.fixture(scope="session")
def query(stack: Settings) -> Query:
    """Ask the stack's Trino."""
    return lambda statement: queries.run(stack, statement).rows
