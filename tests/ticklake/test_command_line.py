"""Faults are one line and an exit code, without a traceback; help is complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOWHERE = {
    "TICKLAKE_LOCAL__FLINK_PORT": "1",
    "TICKLAKE_LOCAL__KAFKA_PORT": "1",
    "TICKLAKE_LOCAL__TRINO_PORT": "1",
    "TICKLAKE_LOCAL__POSTGRES_PORT": "1",
}
REPLAY = ["replay", "--topic", "market.ticks.v1", "--from-offsets", "0:0", "--to-offsets", "0:1"]


def ticklake(home: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a home of its own."""
    return subprocess.run(
        [sys.executable, "-m", "ticklake.main", *arguments],
        env=os.environ | {"TICKLAKE_LOCAL__HOME": str(home), "COLUMNS": "100"} | environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["submit", "tick"], 2, "no job is called tick; the jobs are events, ticks"),
        (["submit"], 2, "name a job or say --all"),
        (["submit", "ticks"], 3, "Flink does not answer at 127.0.0.1:1"),
        (REPLAY, 3, "Kafka at 127.0.0.1:1"),
        (["jobs"], 3, "Flink does not answer at 127.0.0.1:1"),
        (["stop", "ticks"], 3, "Flink does not answer at 127.0.0.1:1"),
        (["apply"], 3, "Kafka at 127.0.0.1:1"),
        (["sql", "SELECT 1"], 3, "Trino does not answer at 127.0.0.1:1"),
        (["transform", "--now"], 3, "Trino does not answer at 127.0.0.1:1"),
        (
            ["maintain"],
            3,
            "the Iceberg catalog (jdbc) at postgresql://127.0.0.1:1/ticklake does not",
        ),
        (["logs", "mysql"], 2, "there is no server"),
    ],
)
def test_a_fault_is_one_line(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    """What was found and what to do, on standard error; the exit code tells whose fault."""
    done = ticklake(tmp_path, *arguments, **NOWHERE)
    lines = [line for line in done.stderr.splitlines() if line.startswith("ticklake: ")]

    assert done.returncode == code, done.stderr
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in done.stderr


def test_orphans_stay_longer_than_a_state_may_be_started_from(tmp_path: Path) -> None:
    """A job's state refers to files that are not committed yet."""
    done = ticklake(tmp_path, "status", TICKLAKE_MAINTAIN__ORPHAN_HOURS="48")

    assert done.returncode == 2
    assert "setting maintain.orphan_hours: Value error, must be above" in done.stderr
    assert "TICKLAKE_MAINTAIN__ORPHAN_HOURS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    """The name of the setting and what was found."""
    done = ticklake(tmp_path, "status", TICKLAKE_LOCAL__KAFKA_PORT="many")

    assert done.returncode == 2
    assert "setting local.kafka_port" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    """A typing error in the file is not passed over."""
    (tmp_path / "ticklake.toml").write_text("[local]\nkafka_prot = 1\n")

    done = ticklake(tmp_path, "status")

    assert done.returncode == 2
    assert "kafka_prot" in done.stderr


def test_help_names_every_command(tmp_path: Path) -> None:
    """The overview lists what the folder of commands offers."""
    text = ticklake(tmp_path, "--help").stdout

    commands = "up down status logs apply submit jobs stop publish sql transform check dlq demo"
    assert [name for name in commands.split() if f" {name} " not in text] == []
