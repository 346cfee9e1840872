"""The client's own choice of a partition, faster."""

from typing import Any

from kafka.partitioner import DefaultPartitioner

_MOST_KEYS = 50_000


class RememberingPartitioner(DefaultPartitioner):  # type: ignore[misc]  # it has no types
    """The default's choice, hashed once a key: its murmur2 is pure Python, a fifth of a send."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._known: dict[tuple[str, bytes, int], int] = {}

    def partition(self, topic: str, key: Any, serialized_key: bytes | None, *rest: Any) -> int:  # noqa: ANN401
        """The partition for a key, given all of them and those that can be written to now."""
        count = len(rest[-1].partitions_for_topic(topic) or ())
        if serialized_key is None or not count:
            return int(super().partition(topic, key, serialized_key, *rest))
        found = self._known.get((topic, serialized_key, count))
        if found is None:
            if len(self._known) >= _MOST_KEYS:
                self._known.clear()
            found = int(super().partition(topic, key, serialized_key, *rest))
            self._known[topic, serialized_key, count] = found
        return found
