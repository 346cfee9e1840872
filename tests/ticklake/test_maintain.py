"""`ticklake maintain` without servers: what it says, its exit code, its statements' literals."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from connectors.errors import TicklakeError, UnavailableError
from iceberg_catalog.maintain import Crowded, State
from ticklake import main, maintain, queries
from ticklake.maintain import Outcome
from ticklake.settings import LocalSettings, Settings, load

OLD, NEW = State(1203, 9_000_000, 720, 3), State(4, 8_000_000, 31, 5)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A stack that does not run."""
    return load(local=LocalSettings(home=tmp_path, trino_port=9, postgres_port=9))


def answer(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome) -> dict[str, Any]:
    """Let the work be done; what was asked for."""
    asked: dict[str, Any] = {}

    def run(_: object, names: list[str], **options: object) -> list[Outcome]:
        asked.update(options, names=names)
        return list(outcomes)

    monkeypatch.setattr(maintain, "maintain", run)
    return asked


def test_a_line_a_table_with_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was skipped stands on standard error, and is no fault."""
    outcome = Outcome("bronze.raw_trades", OLD, NEW, ["expire 689 snapshots"], ["x: busy"])
    asked = answer(monkeypatch, outcome)

    done = CliRunner().invoke(main.build(), ["maintain", "--table", "raw_trades", "--no-orphans"])

    (line,) = [line for line in done.stdout.splitlines() if "raw_trades" in line]
    assert done.exit_code == 0
    for text in ("1,203 > 4", "9.0 > 8.0", "720 > 31", "3 > 5", "expire 689 snapshots"):
        assert text in line
    assert "warning: bronze.raw_trades: skipped x: busy" in done.stderr
    assert (asked["names"], asked["dry_run"], asked["orphans"]) == (["raw_trades"], False, False)


def test_a_failed_step_is_told_after_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs get all outcomes all the same."""
    outcome = Outcome("bronze.raw_trades", OLD, OLD, failed=["expire 1 snapshots: no space left"])
    answer(monkeypatch, outcome)

    done = CliRunner().invoke(main.build(), ["maintain", "--json", "--dry-run"])

    assert json.loads(done.stdout)[0]["before"]["files"] == 1203
    assert "failed to expire 1 snapshots: no space left" in done.stderr
    assert isinstance(done.exception, UnavailableError)
    assert "a step failed on bronze.raw_trades" in str(done.exception)


class _Names:
    """A catalog that lists."""

    def list_namespaces(self) -> list[tuple[str, ...]]:
        return [("bronze",), ("silver",), ("a", "b")]

    def list_tables(self, namespace: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [(*namespace, "trades"), (*namespace, 'x"; DROP')]


def test_only_tables_that_the_catalog_lists_come_into_a_statement() -> None:
    """By whole names, or in bronze; odd names not at all."""
    chosen: Callable[..., list[tuple[str, str]]] = maintain._chosen  # noqa: SLF001

    assert chosen(_Names(), []) == [("bronze", "trades"), ("silver", "trades")]
    assert chosen(_Names(), ["trades"]) == [("bronze", "trades")]
    assert chosen(_Names(), ["silver.trades"]) == [("silver", "trades")]
    for name in ('x"; DROP', 'bronze.x"; DROP', "nix", "gold.trades"):
        with pytest.raises(TicklakeError, match="the lake has no table"):
            chosen(_Names(), [name])


def test_a_partition_is_a_range_of_its_column() -> None:
    """Trino binds no values there: they are made from times, the column is quoted."""
    begin, end = datetime(2026, 11, 24, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)

    assert maintain._where(Crowded('time"stamp', begin, end, 2, 2)) == (  # noqa: SLF001
        ' WHERE "time""stamp" >= TIMESTAMP \'2026-11-24 00:00:00 UTC\''
        ' AND "time""stamp" < TIMESTAMP \'2026-11-25 00:00:00 UTC\''
    )
    assert maintain._where(Crowded(None, begin, end, 2, 2)) == ""  # noqa: SLF001


@pytest.mark.parametrize(
    ("fault", "attempts", "told"),
    [
        (queries.ConflictError("others were faster"), 3, "skipped"),
        (queries.UnfinishedError("no space left"), 1, "failed"),
        (TicklakeError("SQL: no such table"), 1, "failed"),
    ],
)
def test_a_conflict_is_tried_again_and_then_left(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    attempts: int,
    told: str,
) -> None:
    """Neither a conflict nor a failed step ends the command; each is told with its cause."""
    asked: list[str] = []

    def run(_: Settings, statement: str, **__: object) -> None:
        asked.append(statement)
        raise fault

    monkeypatch.setattr(queries, "run", run)
    monkeypatch.setattr(maintain.time, "sleep", lambda _: None)
    table = maintain._Table(settings, None, ("bronze", "trades"), lambda _: None)  # type: ignore[arg-type] # noqa: SLF001
    table._outcome = Outcome("bronze.trades", OLD, OLD)  # noqa: SLF001

    table._execute("compact", "optimize")  # noqa: SLF001

    assert asked == ['ALTER TABLE "lake"."bronze"."trades" EXECUTE optimize'] * attempts
    (reason,) = getattr(table._outcome, told)  # noqa: SLF001
    assert str(fault) in reason


def test_no_answer_ends_the_command(settings: Settings) -> None:
    """No other step could be done either."""
    table = maintain._Table(settings, None, ("bronze", "trades"), lambda _: None)  # type: ignore[arg-type] # noqa: SLF001

    with pytest.raises(UnavailableError, match="Trino does not answer"):
        table._execute("compact", "optimize")  # noqa: SLF001


def test_two_at_once_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second says what runs."""

    class _Empty(_Names):
        def list_namespaces(self) -> list[tuple[str, ...]]:
            return []

        def close(self) -> None: ...

    @contextmanager
    def held() -> Iterator[None]:
        with maintain.alone(settings, "maintain"):
            yield

    monkeypatch.setattr(maintain, "connect", lambda _: _Empty())
    with held(), pytest.raises(UnavailableError, match="another `ticklake maintain` is running"):
        maintain.maintain(settings)
    assert maintain.maintain(settings) == []
