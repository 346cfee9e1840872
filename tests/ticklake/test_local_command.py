"""The command without any server: help, states, and faults in one line."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ticklake.local import stack


def ticklake(home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command with an empty home."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.main", *words],
        env=dict(os.environ) | {"TICKLAKE_LOCAL__HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_is_quick_and_names_the_commands(tmp_path: Path) -> None:
    """Nothing slow is imported for it."""
    began = time.monotonic()
    result = ticklake(tmp_path, "--help")
    assert time.monotonic() - began < 5  # 0.4 s on an idle machine
    assert result.returncode == 0
    for command in ("up", "down", "status", "logs"):
        assert f" {command} " in result.stdout


def test_status_of_an_empty_home(tmp_path: Path) -> None:
    """All is stopped, and nothing is made by asking."""
    result = ticklake(tmp_path, "status", "--json")
    found = json.loads(result.stdout)
    assert [one["name"] for one in found] == list(stack.NAMES)
    assert {one["state"] for one in found} == {"stopped"}
    assert list(tmp_path.iterdir()) == []


def test_down_of_an_empty_home(tmp_path: Path) -> None:
    """Nothing to do is no fault."""
    result = ticklake(tmp_path, "down")
    assert result.returncode == 0
    assert "nothing was running" in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["logs", "nope"], "there is no server 'nope'; there are postgres, kafka,"),
        (["logs", "kafka"], "kafka has no log at"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    """No traceback, exit code 2."""
    result = ticklake(tmp_path, *words)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("ticklake: ")
    assert said in line


def test_a_wrong_setting_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the setting and the way to set it."""
    monkeypatch.setenv("TICKLAKE_LOCAL__KAFKA_PORT", "many")
    result = ticklake(tmp_path, "status")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "TICKLAKE_LOCAL__KAFKA_PORT" in line


def test_the_end_of_a_log(tmp_path: Path) -> None:
    """As many lines as asked for, markup and all."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "kafka.log").write_text("one\n[red]two[/red]\nthree\n")
    result = ticklake(tmp_path, "logs", "kafka", "-n", "2")
    assert result.stdout == "[red]two[/red]\nthree\n"


def test_a_home_that_no_location_can_name_is_refused(tmp_path: Path) -> None:
    """Before anything is made in it."""
    home = tmp_path / "my lake"
    home.mkdir()
    result = ticklake(home, "up")
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert "TICKLAKE_LOCAL__HOME" in line
    assert list(home.iterdir()) == []
