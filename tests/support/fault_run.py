"""One run of a scenario: a stream, a fault, and what the oracle says behind it."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from faulty_stack import Lake
from ledger import Ledger
from oracle import Oracle

_RECOVERY_SECONDS = 90.0


@dataclass
class Outcome:
    """How one run of one scenario went."""

    scenario: str
    seed: int
    passed: bool = False
    skipped: bool = False
    recovery: float | None = None
    remarks: list[str] = field(default_factory=list)


class Run:
    """One scenario with one seed."""

    def __init__(self, lake: Lake, name: str, seed: int, outcome: Outcome) -> None:
        """Nothing is sent yet; `name` is the test's, with its parameters: each is a venue."""
        self.lake = lake
        self.seed = seed
        self.random = random.Random(name)  # noqa: S311 - no secret
        self._outcome = outcome
        self._fault = 0.0

    @contextmanager
    def streaming(
        self, before: float = 4, after: float = 2, *, strays: bool = False
    ) -> Iterator[Ledger]:
        """A venue publishes; behind it all of it is in the lake, exactly.

        Args:
            before: seconds of undisturbed stream before the fault.
            after: and behind it.
            strays: on-time trades may come late.
        """
        since = self.lake.ends()
        # the venue's name leads each column's lower bound, so that old files are not opened
        venue = f"{self.random.randrange(16**6):06x}-{self._outcome.scenario}"[:40]
        with Ledger(self.lake.settings.kafka, venue, self.seed) as ledger:
            time.sleep(before)
            yield ledger
            time.sleep(after)
            ledger.finish()
            self.lake.drain(ledger)
        found = self.oracle(ledger, since).check(strays=strays)
        assert not found, "\n".join(found)
        unknown = sum(send.outcome == "unknown" for send in ledger.sends)
        self.remark(f"{len(ledger.sends)} sends" + (f", {unknown} unknown" if unknown else ""))

    def oracle(
        self, ledger: Ledger, since: Mapping[str, Mapping[int, int]], kind: type[Oracle] = Oracle
    ) -> Oracle:
        """What checks a ledger."""
        return kind(self.lake.catalog, self.lake.servers, ledger, since)

    def fault(self) -> None:
        """The fault happens now."""
        self._fault = time.time()

    def await_commit(self, lasting: float = 0) -> None:
        """What was to be mended is; wait for the next commit.

        Args:
            lasting: seconds that the scenario itself takes from the fault to its end.
        """
        limit = _RECOVERY_SECONDS + lasting
        now = time.time()
        at = self.lake.commit_after(now, max(1.0, self._fault + limit - now))
        assert at is not None, f"O9 no commit within {limit:.0f} s"
        self._outcome.recovery = at - self._fault

    def remark(self, text: str) -> None:
        """Something for the table."""
        self._outcome.remarks.append(text)


def table(outcomes: list[Outcome]) -> list[str]:
    """One line a scenario, in Markdown."""
    names = list(dict.fromkeys(one.scenario for one in outcomes))
    lines = ["| scenario | runs | passed | worst recovery, s | remarks |", "|---|---|---|---|---|"]
    for name in names:
        mine = [one for one in outcomes if one.scenario == name]
        worst = max((one.recovery for one in mine if one.recovery is not None), default=None)
        passed = sum(one.passed for one in mine)
        skipped = sum(one.skipped for one in mine)
        told = [f"seed {one.seed} failed" for one in mine if not one.passed and not one.skipped]
        told += [f"{skipped} skipped"] if skipped else []
        remarks = "; ".join([*told, *dict.fromkeys(r for one in mine for r in one.remarks)])
        shown = "-" if worst is None else f"{worst:.1f}"
        lines.append(f"| {name} | {len(mine) - skipped} | {passed} | {shown} | {remarks} |")
    return lines if outcomes else []
