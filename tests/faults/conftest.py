"""Scenarios: a stack for each worker, one ledger and one oracle each, a table of what came out."""

from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from fault_run import Outcome, Run, table
from faulty_stack import Lake, running_lake

_OUTCOMES = pytest.StashKey[list[Outcome]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Seeds and the table's file."""
    group = parser.getgroup("faults")
    group.addoption("--seeds", type=int, default=1, help="run each scenario with so many seeds")
    group.addoption("--first-seed", type=int, default=1, help="the first of them; replays a run")
    group.addoption("--faults-table", type=Path, help="write the table of scenarios as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    """A place for the outcomes."""
    config.stash[_OUTCOMES] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each scenario once a seed."""
    if "seed" in metafunc.fixturenames:
        # a run of all tests loads this file too late for its options
        first = metafunc.config.getoption("first_seed", default=1)
        seeds = range(first, first + metafunc.config.getoption("seeds", default=1))
        metafunc.parametrize("seed", seeds, ids=[f"seed={n}" for n in seeds])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its outcomes to whoever prints the table."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["outcomes"] = [asdict(one) for one in session.config.stash[_OUTCOMES]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist has no types
    """The outcomes of a worker; one that died has none to tell."""
    told = getattr(node, "workeroutput", {}).get("outcomes", [])
    node.config.stash[_OUTCOMES] += [Outcome(**one) for one in told]


@pytest.fixture(scope="session")
def lake(request: pytest.FixtureRequest) -> Iterator[Lake]:
    """One stack for all scenarios of a worker; many commits, so that a fault meets them."""
    fills = any("disk" in item.name for item in request.session.items)
    limited = ("kafka/data", "flink-state", "warehouse") if fills else ()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TICKLAKE_FLINK__CHECKPOINT_SECONDS", "2")
        with running_lake(limited) as running:
            yield running


@pytest.fixture
def run(request: pytest.FixtureRequest, lake: Lake, seed: int) -> Run:
    """A healthy lake, and the record of this run."""
    name = request.node.originalname.removeprefix("test_")
    outcome = Outcome(name, seed)
    request.config.stash[_OUTCOMES].append(outcome)
    lake.heal()
    return Run(lake, request.node.name, seed, outcome)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A run that failed says so in the table, with its first line."""
    report = yield
    outcomes = item.config.stash[_OUTCOMES]
    if outcomes and call.when != "teardown":
        outcomes[-1].passed = report.passed and call.when == "call"
        outcomes[-1].skipped = report.skipped
        if report.failed and call.excinfo is not None:
            outcomes[-1].remarks.append((str(call.excinfo.value).splitlines() or [""])[0][:160])
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The table, on the terminal and in the file."""
    rows = table(config.stash[_OUTCOMES])
    if not rows:
        return
    terminalreporter.section("scenarios")
    for row in rows:
        terminalreporter.line(row)
    if file := config.getoption("faults_table", default=None):
        file.write_text("\n".join(rows) + "\n")
