"""What `ticklake apply` would do to the world, as one line a person can judge."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from connectors.errors import TicklakeError


@dataclass(frozen=True)
class Change:
    """One difference between the declaration and what exists.

    Attributes:
        target: what it is about, such as `topic market.ticks.v1`.
        action: create, change, or refuse: a difference that cannot be applied without loss.
        detail: what will be done; where it is refused, what was found and what to do instead.
    """

    target: str
    action: Literal["create", "change", "refuse"]
    detail: str


def require_none_refused(changes: Iterable[Change]) -> None:
    """Let through what can be applied.

    Raises:
        TicklakeError: names the first refused change, and how many more there are.
    """
    refused = [change for change in changes if change.action == "refuse"]
    if refused:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise TicklakeError(f"{refused[0].target}: {refused[0].detail}{more}; nothing was changed")
