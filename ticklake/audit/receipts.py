"""Receipts of settled checkpoints, and whether they follow one another and add up."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ticklake import queries
from ticklake.audit.statements import text
from ticklake.settings import Settings

EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one checkpoint covers of one partition, its parallel parts together.

    It covers the offsets in [first_offset, next_offset). `adds_up` says of each part that records =
    stored + late + duplicates + dead.
    """

    topic: str
    partition: int
    job: str
    job_id: str
    checkpoint_id: int
    first_offset: int
    next_offset: int
    records: int
    stored: int
    late: int
    duplicates: int
    dead: int
    adds_up: bool

    @property
    def origin(self) -> str:
        """Where it comes from, for a sentence."""
        return f"checkpoint {self.checkpoint_id} of job {self.job} ({self.job_id[:8]})"


Chain = list[Receipt]
"""The receipts of one partition, in the order of their offsets."""

Chains = dict[tuple[str, int], Chain]
"""(topic, partition) to its receipts."""


def load(settings: Settings, topics: Iterable[str], since: datetime | None) -> Chains:
    """The settled receipts of these topics.

    Args:
        settings: name the coordinator.
        topics: names.
        since: only receipts whose newest record arrived from then on.

    Raises:
        UnavailableError: Trino does not answer.
    """
    chains: Chains = {}
    values = (json.dumps(sorted(topics)), since or EVER)
    for row in queries.stream(settings, text("receipts"), values):
        receipt = Receipt(*row)
        chains.setdefault((receipt.topic, receipt.partition), []).append(receipt)
    return chains


def overlap(chain: Sequence[Receipt]) -> str | None:
    """The first offsets that two receipts of a partition cover, as a sentence."""
    reached: Receipt | None = None
    for receipt in chain:
        if reached and receipt.first_offset < reached.next_offset:
            last = min(receipt.next_offset, reached.next_offset) - 1
            return (
                f"{place(receipt)}: offsets {receipt.first_offset} to {last} were read twice, "
                f"rewound: by {reached.origin} and by {receipt.origin}"
            )
        reached = receipt
    return None


def holes(chain: Sequence[Receipt]) -> list[tuple[int, int]]:
    """Ranges [first, behind) between the first and the last offset that no receipt covers."""
    found = []
    reached = chain[0].next_offset if chain else 0
    for receipt in chain:
        if receipt.first_offset > reached:
            found.append((reached, receipt.first_offset))
        reached = max(reached, receipt.next_offset)
    return found


def miscounted(chain: Sequence[Receipt]) -> str | None:
    """The first receipt that does not add up, as a sentence."""
    for receipt in chain:
        width = receipt.next_offset - receipt.first_offset
        outcomes = receipt.stored + receipt.late + receipt.duplicates + receipt.dead
        if not receipt.adds_up or outcomes != receipt.records:
            return (
                f"{span(receipt)}: the receipt of {receipt.origin} counts {receipt.records} "
                f"records, but {outcomes} outcomes ({receipt.stored} stored, {receipt.late} late, "
                f"{receipt.duplicates} duplicates, {receipt.dead} dead)"
            )
        if receipt.records > width:
            return (
                f"{span(receipt)}: the receipt of {receipt.origin} counts {receipt.records} "
                f"records at {width} offsets"
            )
    return None


def end(chain: Sequence[Receipt]) -> int:
    """The offset behind the highest covered."""
    return max(receipt.next_offset for receipt in chain)


def place(receipt: Receipt) -> str:
    """Topic and partition, for a sentence."""
    return f"{receipt.topic} partition {receipt.partition}"


def span(receipt: Receipt) -> str:
    """Topic, partition and offsets, for a sentence."""
    return f"{place(receipt)}, offsets {receipt.first_offset} to {receipt.next_offset - 1}"
