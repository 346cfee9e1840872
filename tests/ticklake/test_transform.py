"""`ticklake transform` without servers: its environment, its lock, its one-line faults."""

import fcntl
import json
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors.errors import TicklakeError, UnavailableError
from connectors.events import Tick
from connectors.stream import table_columns
from iceberg_catalog.settings import CatalogSettings
from ticklake import main, sqlmesh_project, transform
from ticklake.settings import LocalSettings, Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A stack that does not run."""
    return load(
        local=LocalSettings(home=tmp_path, trino_port=9, postgres_port=9),
        catalog=CatalogSettings(password=SecretStr("p w'd")),
    )


def test_the_environment_follows_from_the_settings(settings: Settings) -> None:
    """The sqlmesh command finds Trino, the state's database, the cache and the start."""
    found = sqlmesh_project.environment(settings, start="2026-11-24")

    assert found["TICKLAKE_SQLMESH_TRINO_PORT"] == "9"
    assert found["TICKLAKE_SQLMESH_STATE_PASSWORD"] == "p w'd"  # noqa: S105 - of no server
    assert found["TICKLAKE_SQLMESH_STATE_DATABASE"] == "sqlmesh"
    assert found["TICKLAKE_SQLMESH_START"] == "2026-11-24"
    assert Path(found["TICKLAKE_SQLMESH_CACHE"]).is_relative_to(settings.local.home)


def test_what_is_set_already_wins(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment keeps SQLMesh's state where it wants."""
    monkeypatch.setenv("TICKLAKE_SQLMESH_STATE_HOST", "state.example")

    assert (
        sqlmesh_project.environment(settings, start="2026-11-24")["TICKLAKE_SQLMESH_STATE_HOST"]
        == "state.example"
    )


def test_a_rest_catalog_needs_a_database_for_the_state(settings: Settings) -> None:
    """The message names the variables."""
    rest = settings.catalog.model_copy(update={"kind": "rest", "uri": "http://catalog"})

    with pytest.raises(TicklakeError, match=r"STATE_HOST.*STATE_PASSWORD"):
        sqlmesh_project.environment(
            settings.model_copy(update={"catalog": rest}), start="2026-11-24"
        )


def test_its_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`eval "$(ticklake transform --print-env)"` does not make ticklake refuse its settings."""
    monkeypatch.setenv("TICKLAKE_SQLMESH_TRINO_HOST", "there")

    assert load().trino.host == "127.0.0.1"


def test_trino_away_is_exit_code_3(settings: Settings) -> None:
    """One line, that says what to start."""
    with pytest.raises(UnavailableError, match="`ticklake up`") as told:
        transform.transform(settings)

    assert told.value.exit_code == 3
    assert "\n" not in str(told.value)


def test_two_at_once_are_refused(settings: Settings) -> None:
    """The second says who runs, waits for nothing, and may go when the first has ended."""
    lock = settings.local.home / "run" / "transform.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        held.write("4711\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)

        with pytest.raises(UnavailableError, match=r"is running \(pid 4711\)") as told:
            transform.transform(settings)

    assert told.value.exit_code == 3
    with pytest.raises(UnavailableError, match="Trino does not answer"):
        transform.transform(settings)


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs read what was done; progress goes to stderr."""
    run = sqlmesh_project.ModelRun("silver.x", 1.5, 3, 0, 7)
    report = transform.Report(datetime(2026, 11, 24, tzinfo=UTC), ["silver.x"], 2, [run], 3.0)
    asked: dict[str, Any] = {}

    def pretend(_: Settings, **words: Any) -> transform.Report:  # noqa: ANN401 - any option
        asked.update(words)
        return report

    monkeypatch.setattr(transform, "transform", pretend)
    done = CliRunner().invoke(
        main.build(), ["transform", "--now", "--full-refresh", "silver.x", "--only", "y", "--json"]
    )

    assert done.exit_code == 0
    assert json.loads(done.stdout)["models"][0]["rows"] == 7
    assert asked["now"] is True
    assert asked["full_refresh"] == ["silver.x"]
    assert asked["only"] == ["y"]


def test_the_merge_names_every_column() -> None:
    """A column that is added to the declaration is not left behind in the landing table."""
    text = files("iceberg_catalog").joinpath("merge_late_trades.sql").read_text()
    table = next(t for t in Tick.stream.tables if t.late_name)
    names = [column.name for column in table_columns(Tick, table)]

    for name in [*names, "_kafka_partition", "_kafka_offset", "_ingested_at"]:
        quoted = '"timestamp"' if name == "timestamp" else name
        assert text.count(quoted) >= 3, name
