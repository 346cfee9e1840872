"""`ticklake check` without servers: what counts as a pass, and what is written."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.errors import TicklakeError, UnavailableError
from ticklake import checks, main
from ticklake.checks import CheckOutcome, TableReport
from ticklake.settings import LocalSettings, load


def report(*outcomes: str, errors: tuple[str, ...] = ()) -> TableReport:
    """A table's report with checks that ended so."""
    found = [CheckOutcome(f"check {n}", None, o, {"rows": n}) for n, o in enumerate(outcomes)]
    return TableReport("silver", "bars", found, list(errors), 0.5)


@pytest.mark.parametrize(
    ("reports", "code"),
    [
        ([report("passed", "passed")], 0),
        ([report("passed", "failed")], 1),
        ([report("passed", "not_evaluated")], 3),
        ([report("passed", errors=("no connection",))], 3),
        ([report()], 3),
        ([], 3),
        ([report("not_evaluated"), report("failed")], 1),
        ([report("passed"), report("not_evaluated")], 3),
    ],
)
def test_only_what_was_determined_passes(reports: list[TableReport], code: int) -> None:
    """A failure is known whatever else is not; nothing checked is no pass."""
    assert checks.exit_code(reports) == code


def test_reports_are_json_and_junit(tmp_path: Path) -> None:
    """Both say the same of each check."""
    reports = [report("passed", "failed", "not_evaluated", errors=("lost",))]
    as_json, as_xml = checks.write(reports, tmp_path / "reports")
    told = json.loads(as_json.read_text())
    suite = ET.parse(as_xml).getroot()[0]  # noqa: S314 - written above

    assert told["exit_code"] == 1
    assert [c["outcome"] for c in told["tables"][0]["checks"]] == [
        "passed",
        "failed",
        "not_evaluated",
    ]
    assert suite.attrib | {"time": ""} == {
        "name": "silver.bars",
        "tests": "4",
        "failures": "1",
        "errors": "2",
        "time": "",
    }
    assert [[child.tag for child in case] for case in suite] == [
        [],
        ["failure"],
        ["error"],
        ["error"],
    ]


def test_contracts_are_chosen_by_layer_and_table() -> None:
    """Every layer has two; a table goes by its name with or without its layer."""
    found = checks.contracts()

    assert all(sum(one.layer == layer for one in found) >= 2 for layer in checks.LAYERS[:3])
    assert {one.layer for one in found} == set(checks.LAYERS)
    assert [one.table for one in checks.contracts(layer="gold")] == ["mart_trading_performance"]
    assert checks.contracts(table="bronze.raw_trades") == checks.contracts("bronze", "raw_trades")
    with pytest.raises(TicklakeError, match="no contract for 'nope'; there are bronze"):
        checks.contracts(table="nope")


def test_trino_away_is_exit_code_3(tmp_path: Path) -> None:
    """Not a table that passes."""
    away = load(local=LocalSettings(home=tmp_path, trino_port=9))

    with pytest.raises(UnavailableError) as told:
        list(checks.run(away, checks.contracts()))

    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    ("outcome", "code"), [("passed", 0), ("warned", 0), ("failed", 1), ("not_evaluated", 3)]
)
def test_the_command_shows_and_exits(
    outcome: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code, the table and the reports tell the same."""
    monkeypatch.setattr(checks, "run", lambda *_, **__: iter([report("passed", outcome)]))
    done = CliRunner().invoke(main.build(), ["check", "--report-dir", str(tmp_path)])

    assert done.exit_code == code
    assert "silver.bars" in done.stdout
    assert json.loads((tmp_path / "checks.json").read_text())["exit_code"] == code
