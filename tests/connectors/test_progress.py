"""What a group has read, on a broker that has just started: a moment that no test can make."""

from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.errors import CoordinatorLoadInProgressError

from connectors import progress

PLACE = TopicPartition("market.ticks.v1", 0)


class Loading:
    """An admin client whose coordinator is loading for the first `refusals` questions."""

    def __init__(self, refusals: int) -> None:
        """Nothing was asked yet."""
        self.left = refusals

    def describe_topics(self, topics: list[str]) -> list[dict[str, object]]:
        """One partition."""
        return [{"name": name, "partitions": [{"partition_index": 0}]} for name in topics]

    def list_group_offsets(
        self, asked: dict[str, list[TopicPartition]]
    ) -> dict[str, dict[TopicPartition, SimpleNamespace]]:
        """Ten records were read."""
        if self.left:
            self.left -= 1
            raise CoordinatorLoadInProgressError
        return {group: {PLACE: SimpleNamespace(offset=10)} for group in asked}


def test_a_coordinator_that_loads_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault, and not the answer that nothing was read."""
    monkeypatch.setattr(progress, "_POLL_SECONDS", 0)

    assert progress.offsets_of(Loading(3), "ticklake-ticks", PLACE.topic) == {0: 10}


def test_a_coordinator_that_never_ends_loading_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says so after a while, and nothing hangs."""
    monkeypatch.setattr(progress, "_POLL_SECONDS", 0)
    monkeypatch.setattr(progress, "_LOAD_SECONDS", 0.05)

    with pytest.raises(CoordinatorLoadInProgressError):
        progress.offsets_of(Loading(10**9), "ticklake-ticks", PLACE.topic)
