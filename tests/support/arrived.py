"""A record on the broker, beside what the ledger knows of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger import Send

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class Arrived:
    """A record as it stands on the broker; `send` is None where the ledger knows nothing of it."""

    place: Place
    appended: datetime
    key: bytes | None
    payload: bytes | None
    send: Send | None

    @property
    def content(self) -> tuple[str | None, bytes | None]:
        """What a copy shares with its original."""
        return (self.send.id if self.send else None), self.payload

    @property
    def is_trade(self) -> bool:
        """It holds a trade."""
        return bool(self.send and self.send.event and self.send.event.kind == "trade")

    @property
    def has_id(self) -> bool:
        """It holds an event."""
        return bool(self.send and self.send.id)

    def is_dead(self, stored: Mapping[str, "Arrived"]) -> bool:
        """Poison; or other content under an id whose first is stored."""
        if self.send is None:
            return False
        if self.send.id is None:
            return True
        first = stored.get(self.send.id)
        return first is not None and first.content != self.content

    def differing(self, row: Mapping[str, Any]) -> list[str]:
        """Columns in which a stored row is not what was sent."""
        event = self.send.event if self.send else None
        if event is None:
            return ["everything"]
        sent = event.model_dump(by_alias=True) | {"_ingested_at": self.appended}
        own = {name: value for name, value in row.items() if not name.startswith("_kafka")}
        return [name for name, value in own.items() if sent.get(name) != value]
