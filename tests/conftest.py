"""One stack of real servers for all tests that kill none; each group of tests empties it.

Every start of the five costs a minute of a small machine, and a new Trino is slow for another.
"""

from collections.abc import Iterator

import pytest
from kafka_sockets import name_them
from stack_fixture import running_stack, temporary_settings

from ticklake.settings import Settings

name_them()


@pytest.fixture(scope="session")
def servers() -> Iterator[Settings]:
    """PostgreSQL, Kafka, Flink and Trino on free ports, with whatever the last user left.

    To be used through `emptied`.
    """
    # it starts before any cache could be written, and stops behind all that would read one
    with running_stack(temporary_settings(fast_start=False)) as running:
        yield running
