"""One stack of real servers for all tests here, with its tables and both jobs."""

from collections.abc import Iterator

import pytest
from integration_tools import Query, cluster_of, query_of, running_jobs

from flink_jobs.cluster import Cluster
from flink_jobs.run import jobs
from ticklake.settings import Settings


@pytest.fixture(scope="package")
def stack() -> Iterator[Settings]:
    """PostgreSQL, Kafka, Flink and Trino on free ports; nothing was ever sent to them."""
    with running_jobs(jobs()) as running:
        yield running


@pytest.fixture(scope="package")
def cluster(stack: Settings) -> Cluster:
    """The stack's Flink cluster."""
    return cluster_of(stack)


@pytest.fixture(scope="package")
def query(stack: Settings) -> Query:
    """Ask the stack's Trino."""
    return query_of(stack)
