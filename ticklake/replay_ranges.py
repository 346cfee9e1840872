"""Which offsets a replay reads: asked for by time or by offset, cut to what is settled."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from connectors.errors import TicklakeError
from connectors.held import Topic
from ticklake.dead_letters import since

_OFFSETS = re.compile(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*")


@dataclass(frozen=True)
class Times:
    """By the broker's append time: from `start`, before `end`."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Offsets:
    """By partition: from `start`, before `end`; the same partitions in both."""

    start: Mapping[int, int]
    end: Mapping[int, int]


@dataclass(frozen=True)
class Range:
    """What is read of one partition: from `start`, before `end`.

    `asked` is the end that was asked for; it is greater where the job has not committed that far.
    """

    partition: int
    start: int
    end: int
    asked: int

    @property
    def records(self) -> int:
        """How many records it holds."""
        return self.end - self.start

    def line(self) -> str:
        """For a person."""
        cut = "" if self.asked == self.end else f"; what is behind {self.end} is still under way"
        return (
            f"partition {self.partition}: offsets {self.start} to {self.end}, "
            f"{self.records:,} records{cut}"
        )


def asked(
    begin: str | None,
    end: str | None,
    from_offsets: str | None,
    to_offsets: str | None,
    now: datetime,
) -> Times | Offsets:
    """What the options ask for.

    Args:
        begin: `--from`: a span before `now` such as 2h, or ISO-8601 with a zone.
        end: `--to`, likewise.
        from_offsets: `--from-offsets`: P:O,P:O.
        to_offsets: `--to-offsets`, likewise.
        now: the moment that spans count back from.

    Raises:
        TicklakeError: they do not belong together, or are not of this form.
    """
    times, offsets = (begin, end), (from_offsets, to_offsets)
    if begin and end and offsets == (None, None):
        moments = Times(since(begin, now, "--from"), since(end, now, "--to"))
        if moments.start >= moments.end:
            raise TicklakeError(
                f"--from {begin} is not before --to {end}; give the earlier one first"
            )
        return moments
    if from_offsets and to_offsets and times == (None, None):
        chosen = Offsets(_parsed(from_offsets), _parsed(to_offsets))
        if chosen.start.keys() != chosen.end.keys():
            raise TicklakeError(
                f"--from-offsets names the partitions {_listed(chosen.start)} and --to-offsets "
                f"{_listed(chosen.end)}; name the same ones in both"
            )
        for partition, start in chosen.start.items():
            if start > chosen.end[partition]:
                raise TicklakeError(
                    f"partition {partition}: --from-offsets {start} is behind --to-offsets "
                    f"{chosen.end[partition]}; give the smaller one first"
                )
        return chosen
    raise TicklakeError("say either --from and --to, or --from-offsets and --to-offsets")


def resolve(
    topic: str, wanted: Times | Offsets, found: Topic, committed: Mapping[int, int]
) -> list[Range]:
    """The ranges that are asked for, cut at what the live job has committed.

    What it has not is under way: it would be stored by both.

    Args:
        topic: its name.
        wanted: from `asked`.
        found: what it holds; with offsets for both moments of `Times`.
        committed: the job's offset by partition; none is 0.

    Raises:
        TicklakeError: the topic no longer or not yet has what is asked for.
    """
    if isinstance(wanted, Times):
        _require_kept(topic, wanted.start, found)
        wanted = Offsets(found.since[wanted.start], found.since[wanted.end])
    ranges = []
    for partition in sorted(wanted.start):
        start, end = wanted.start[partition], wanted.end[partition]
        held = found.partitions.get(partition)
        if held is None:
            raise TicklakeError(
                f"{topic} has no partition {partition}; it has {_listed(found.partitions)}"
            )
        if start < held.first:
            raise TicklakeError(
                f"{topic} no longer has offset {start} of partition {partition}; it begins at "
                f"{held.first}"
            )
        if end > held.end:
            raise TicklakeError(
                f"{topic} ends at offset {held.end} of partition {partition}; {end} lies behind it"
            )
        until = min(end, committed.get(partition, 0))
        ranges.append(Range(partition, start, max(start, until), end))
    return ranges


def _require_kept(topic: str, start: datetime, found: Topic) -> None:
    """Records that came after `start` may be deleted already; nobody knows how many."""
    gone = [
        held.first_at
        for held in found.partitions.values()
        if held.first > 0 and held.first_at is not None and start < held.first_at
    ]
    if gone:
        raise TicklakeError(
            f"{topic} no longer has all that came since {start.isoformat()}; all of it is there "
            f"from {max(gone).isoformat()} on"
        )


def _parsed(text: str) -> dict[int, int]:
    if not _OFFSETS.fullmatch(text):
        raise TicklakeError(f"{text!r} names no offsets; allowed are pairs such as 0:1200,1:1180")
    pairs = [pair.split(":") for pair in text.split(",")]
    found = {int(partition): int(offset) for partition, offset in pairs}
    if len(found) != len(pairs):
        raise TicklakeError(f"{text!r} names a partition twice; once is allowed")
    return found


def _listed(partitions: Mapping[int, object]) -> str:
    return ", ".join(str(partition) for partition in sorted(partitions))
