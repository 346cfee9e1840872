"""A REST catalog that fails in the middle of a commit."""

import time
from collections.abc import Iterator

import pytest
from fault_run import Run
from faulty_stack import Lake, wait_until
from rest_lake import RestLake, on_rest
from rest_proxy import Plan

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]
_COMMIT_SECONDS = 90


@pytest.fixture(scope="module")
def rest(lake: Lake) -> Iterator[RestLake]:
    """One REST catalog for the scenarios here; the stack's own job goes on behind them."""
    lake.heal()
    with on_rest(lake) as found:
        yield found


def meet(run: Run, rest: RestLake, plans: list[Plan]) -> None:
    """The next commits meet these faults, while ticks stream."""
    run.lake = rest
    with run.streaming():
        rest.rest.met.clear()
        rest.rest.plans.extend(plans)
        wait_until(lambda: not rest.rest.plans, _COMMIT_SECONDS, "not all faults were met")
        run.fault()
        run.await_commit()


def test_03_rest_commit_made_but_its_answer_lost(run: Run, rest: RestLake) -> None:
    """The catalog commits, the line is cut before Flink hears of it."""
    meet(run, rest, ["swallow"])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_04_rest_answers_with_an_error(run: Run, rest: RestLake, status: int) -> None:
    """500 and 503 before a commit is made, 502 and 504 behind one."""
    run.remark(f"status {status}")
    meet(run, rest, [status])


def test_05_rest_catalog_killed_in_a_commit(run: Run, rest: RestLake) -> None:
    """A kill -9 of the catalog's server while commits come to it; it is back 5 s later."""
    run.lake = rest
    with run.streaming():
        time.sleep(run.random.uniform(0, 2))
        rest.server.kill()
        run.fault()
        time.sleep(5)
        rest.server.start()
        run.await_commit()
