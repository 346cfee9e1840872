"""Tables and both jobs for all tests here."""

import pytest
from emptied import emptied
from integration_tools import Query, cluster_of, query_of, with_jobs

from flink_jobs.cluster import Cluster
from flink_jobs.run import jobs
from ticklake.settings import Settings


@pytest.fixture(scope="package")
def stack(servers: Settings) -> Settings:
    """PostgreSQL, Kafka, Flink and Trino on free ports; nothing was sent to them."""
    return with_jobs(emptied(servers), jobs())


@pytest.fixture(scope="package")
def cluster(stack: Settings) -> Cluster:
    """The stack's Flink cluster."""
    return cluster_of(stack)


@pytest.fixture(scope="package")
def query(stack: Settings) -> Query:
    """Ask the stack's Trino."""
    return query_of(stack)
