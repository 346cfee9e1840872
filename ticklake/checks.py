"""Prove the quality of the tables: Soda's contracts in `soda/contracts/`, run against Trino."""

import json
import logging
import os
import time
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.errors import TicklakeError
from ticklake import queries
from ticklake.settings import Settings

FOLDER = Path(__file__).parents[1] / "soda" / "contracts"
LAYERS = ("bronze", "staging", "silver", "gold")
_SOURCE = "ticklake"
_DECLARED_PREFIX = f"dataset: {_SOURCE}/lake/"


@dataclass(frozen=True)
class Contract:
    """One table's contract."""

    layer: str
    table: str
    file: Path


@dataclass(frozen=True)
class CheckOutcome:
    """One check of a table, and how it ended: passed, warned, failed or not_evaluated."""

    name: str
    column: str | None
    outcome: str
    measured: dict[str, Any]


@dataclass(frozen=True)
class TableReport:
    """What one contract's run found."""

    layer: str
    table: str
    checks: list[CheckOutcome]
    errors: list[str]
    seconds: float

    def count(self, outcome: str) -> int:
        """How many checks ended so."""
        return sum(check.outcome == outcome for check in self.checks)

    @property
    def unknown(self) -> bool:
        """Whether something could not be determined; that is never a pass."""
        return bool(self.errors) or not self.checks or self.count("not_evaluated") > 0


def contracts(layer: str | None = None, table: str | None = None) -> list[Contract]:
    """The contracts of a layer or table; all of them without either.

    Raises:
        TicklakeError: there is none of that name.
    """
    found = [
        Contract(file.parent.name, file.stem, file)
        for name in LAYERS
        for file in sorted((FOLDER / name).glob("*.yml"))
    ]
    chosen = [
        one
        for one in found
        if layer in {None, one.layer} and table in {None, one.table, f"{one.layer}.{one.table}"}
    ]
    if not chosen:
        known = ", ".join(f"{one.layer}.{one.table}" for one in found)
        raise TicklakeError(f"there is no contract for {table or layer!r}; there are {known}")
    return chosen


def run(
    settings: Settings,
    chosen: Sequence[Contract],
    *,
    since: datetime | None = None,
    verbose: bool = False,
) -> Iterator[TableReport]:
    """Verify the contracts one by one.

    Args:
        settings: name the coordinator and the catalog.
        chosen: the contracts to verify.
        since: look only at rows that arrived from then on, where a table knows it.
        verbose: let Soda's own log through to stderr.

    Raises:
        UnavailableError: Trino does not answer at all.
    """
    queries.run(settings, "SELECT 1")
    for contract in chosen:
        with _quiet_soda(verbose=verbose):
            report = _verify(settings, contract, since)
        yield report


def exit_code(reports: Sequence[TableReport]) -> int:
    """0: all passed; 1: a check failed; 3: none failed, but not all could be determined."""
    if any(report.count("failed") for report in reports):
        return 1
    return 3 if not reports or any(report.unknown for report in reports) else 0


def write(reports: Sequence[TableReport], folder: Path) -> tuple[Path, Path]:
    """Write the reports as JSON and as JUnit XML; the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_xml = folder / "checks.json", folder / "checks.xml"
    as_json.write_text(json.dumps(summary(reports), default=str, indent=2) + "\n")
    tree = ET.ElementTree(_junit(reports))
    ET.indent(tree)
    tree.write(as_xml, encoding="utf-8", xml_declaration=True)
    return as_json, as_xml


def summary(reports: Sequence[TableReport]) -> dict[str, Any]:
    """The reports as plain data."""
    return {
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "exit_code": exit_code(reports),
        "tables": [asdict(report) for report in reports],
    }


def _verify(settings: Settings, contract: Contract, since: datetime | None) -> TableReport:
    from soda_core.common.yaml import (  # noqa: PLC0415 - after telemetry is off
        ContractYamlSource,
        DataSourceYamlSource,
    )
    from soda_core.contracts.contract_verification import (  # noqa: PLC0415 - the same
        ContractVerificationSession,
    )

    began = time.monotonic()
    session = ContractVerificationSession.execute(
        contract_yaml_sources=[
            ContractYamlSource.from_str(text(settings, contract), str(contract.file))
        ],
        data_source_yaml_sources=[DataSourceYamlSource.from_str(_data_source(settings))],
        variables={"since": f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"} if since else {},
    )
    checks = [
        CheckOutcome(
            name=_name(result.check),
            column=result.check.column_name,
            outcome=_OUTCOMES.get(result.outcome.value, "not_evaluated"),
            measured=dict(result.diagnostic_metric_values or {}),
        )
        for table in session.results
        for result in table.check_results
    ]
    errors = [_first_line(error) for error in session.get_errors()]
    return TableReport(contract.layer, contract.table, checks, errors, time.monotonic() - began)


# A warning is a pass that somebody should look at: it is shown, and the exit code stays 0.
_OUTCOMES = {"PASSED": "passed", "WARN": "warned", "FAILED": "failed"}


def _name(check: Any) -> str:  # noqa: ANN401 - the library's own
    name = check.name or check.type
    return f"{check.column_name}: {check.type}" if check.column_name else str(name)


def text(settings: Settings, contract: Contract) -> str:
    """The contract; it is written for a catalog named lake, which may be called otherwise."""
    written = contract.file.read_text()
    if settings.catalog.name == "lake":
        return written
    catalog = settings.catalog.name
    written = written.replace(_DECLARED_PREFIX, f"dataset: {_SOURCE}/{catalog}/")
    for layer in LAYERS:
        written = written.replace(f" lake.{layer}.", f' "{catalog}".{layer}.')
    return written


def _data_source(settings: Settings) -> str:
    trino = settings.trino
    return json.dumps(
        {
            "type": "trino",
            "name": _SOURCE,
            "connection": {
                "auth_type": "NoAuthentication",
                "user": trino.user,
                "host": trino.host,
                "port": trino.port,
                "http_scheme": trino.http_scheme,
                "catalog": settings.catalog.name,
            },
        }
    )


@contextmanager
def _quiet_soda(*, verbose: bool) -> Iterator[None]:
    """Telemetry off; Soda's log to nowhere, or to stderr."""
    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    soda_logger = logging.getLogger("soda")
    handler = logging.StreamHandler() if verbose else logging.NullHandler()
    level, passed_on = soda_logger.level, soda_logger.propagate
    soda_logger.addHandler(handler)
    soda_logger.propagate = False
    soda_logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Soda's own code; none is ours to act on
            yield
    finally:
        soda_logger.removeHandler(handler)
        soda_logger.propagate = passed_on
        soda_logger.setLevel(level)


def _first_line(error: str) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if "Error" in line), lines[0] if lines else "")
    return told[:300]


def _junit(reports: Sequence[TableReport]) -> ET.Element:
    root = ET.Element("testsuites", name="ticklake check")
    for report in reports:
        name = f"{report.layer}.{report.table}"
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(report.checks) + len(report.errors)),
            failures=str(report.count("failed")),
            errors=str(report.count("not_evaluated") + len(report.errors)),
            time=f"{report.seconds:.3f}",
        )
        for check in report.checks:
            case = ET.SubElement(suite, "testcase", classname=name, name=check.name)
            if check.outcome == "failed":
                ET.SubElement(case, "failure", message=json.dumps(check.measured, default=str))
            elif check.outcome == "warned":
                told = json.dumps(check.measured, default=str)
                ET.SubElement(case, "system-out").text = f"warning: {told}"
            elif check.outcome != "passed":
                ET.SubElement(case, "error", message="could not be evaluated")
        for error in report.errors:
            case = ET.SubElement(suite, "testcase", classname=name, name="contract")
            ET.SubElement(case, "error", message=error)
    return root
