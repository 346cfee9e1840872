"""Dead letters for tests."""

from datetime import UTC, datetime
from typing import Any

from ticklake.dead_letters import DeadLetter

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def letter(offset: int = 42, **changed: Any) -> DeadLetter:  # noqa: ANN401 - any field
    """A dead letter of the ticks' topic."""
    given: dict[str, Any] = {
        "id": f"market.ticks.v1:0:{offset}",
        "topic": "market.ticks.v1",
        "partition": 0,
        "offset": offset,
        "timestamp": AT,
        "error_code": "out_of_range",
        "error_message": "price is 0; it must be above 0",
        "key": b"BTCUSD",
        "payload": b'{"event_id":"a:trade:1","price":"0"}',
        "headers": [],
        "attempts": 0,
        "status": "open",
        "earlier_id": None,
        "newer_id": None,
        "stored_table": None,
        "stored_partition": None,
        "stored_offset": None,
    }
    return DeadLetter(**(given | changed))
