"""The plans of the jobs are what was reviewed; needs Flink's jars, but no server."""

import re
from pathlib import Path

import pytest
from stack_fixture import temporary_settings

from ticklake import plans

pytestmark = pytest.mark.integration

COMMITTED = Path(__file__).parents[2] / "flink_jobs" / "plans"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plans as they are now."""
    folder = tmp_path_factory.mktemp("plans")
    plans.write(temporary_settings(), folder)
    return folder


@pytest.mark.parametrize("job", ["ticks", "events"])
def test_the_committed_plan_is_the_plan(fresh: Path, job: str) -> None:
    """A change of a plan is a change to look at: `make generate` writes it."""
    assert (fresh / f"{job}.txt").read_text() == (COMMITTED / f"{job}.txt").read_text()


def test_ticks_are_read_once_and_never_retract(fresh: Path) -> None:
    """One source, and its memory of ids, for all sinks; window aggregates only; only inserts."""
    text = (fresh / "ticks.txt").read_text()
    execution = text.split("-- execution plan")[1]

    assert "Deduplicate(" not in execution
    assert len(re.findall(r"TableSourceScan\(", execution)) == 1
    assert "GlobalWindowAggregate(" in execution
    assert "GroupAggregate(" not in execution
    assert {"I", "NONE"} == set(re.findall(r"changelogMode=\[([^]]*)\]", text))


def test_events_are_read_once(fresh: Path) -> None:
    """Six topics, six sources."""
    execution = (fresh / "events.txt").read_text().split("-- execution plan")[1]

    assert len(re.findall(r"TableSourceScan\(", execution)) == 6
