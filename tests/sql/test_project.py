"""The SQLMesh project as files: it loads, follows the declaration, and keeps the house's rules."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from iceberg_catalog.tables import tables
from ticklake import external_models, sqlmesh_project
from ticklake.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "sqlmesh"
MODELS = sorted(PROJECT.glob("models/*/*.sql"))


def test_the_external_models_are_those_of_the_declaration() -> None:
    """`make generate` would not change the committed file."""
    assert external_models.FILE.read_text() == external_models.render()


def test_every_bronze_table_is_an_external_model() -> None:
    """None is forgotten, with all of its columns."""
    text = external_models.render()

    for table in tables():
        assert f"- name: bronze.{table.name}\n" in text
        assert all(f"    {column.name}: " in text for column in table.columns)


def test_an_unknown_type_is_an_error() -> None:
    """A type without a Trino type is not written as something else."""
    with pytest.raises(KeyError):
        external_models.trino_type("uuid")


@pytest.mark.parametrize("folder", ["sqlmesh", "soda"])
def test_data_folders_are_no_packages(folder: str) -> None:
    """With an __init__.py they would hide the installed packages of the same names."""
    found = importlib.util.find_spec("sqlmesh")

    assert not list((ROOT / folder).rglob("__init__.py"))
    assert found is not None
    assert "site-packages" in str(found.origin)


def test_no_address_and_no_secret_is_in_the_configuration() -> None:
    """Hosts, ports, users and passwords come from the environment."""
    lines = (PROJECT / "config.yaml").read_text().splitlines()
    keys = ("host:", "port:", "user:", "password:")
    given = [line for line in lines if line.strip().startswith(keys)]

    assert len(given) == 10
    assert all("env_var(" in line for line in given)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_a_model_is_named_as_its_file(model: Path) -> None:
    """models/LAYER/NAME.sql is LAYER.NAME, and has a unit test."""
    name = f"{model.parent.name}.{model.stem}"
    tests = "".join(file.read_text() for file in PROJECT.glob("tests/*.yaml"))

    assert f"  name {name},\n" in model.read_text()
    assert f"  model: {name}\n" in tests


@pytest.fixture(scope="module")
def project_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the configuration asks for; nothing answers there, and nothing has to."""
    here = tmp_path_factory.mktemp("sqlmesh")
    names = ("TRINO_HOST", "TRINO_PORT", "TRINO_USER", "CACHE")
    values = ("127.0.0.1", "9", "test", str(here / "cache"))
    state = dict.fromkeys(("STATE_HOST", "STATE_USER", "STATE_PASSWORD"), "x") | {"STATE_PORT": "9"}
    given = dict(zip(names, values, strict=True)) | state
    return os.environ | {f"TICKLAKE_SQLMESH_{name}": value for name, value in given.items()}


def sqlmesh(
    environment: dict[str, str], *words: str, project: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """Run the sqlmesh command on the project."""
    # the module has no main of its own: python -m would do nothing, and succeed
    command = [str(Path(sys.executable).with_name("sqlmesh")), "--log-file-dir"]
    where = str(Path(environment["TICKLAKE_SQLMESH_CACHE"]) / "logs")
    return subprocess.run(
        [*command, where, "-p", str(project), *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_linter_finds_nothing(project_environment: dict[str, str]) -> None:
    """SQLMesh's rules and the house's own hold: comments, audits, tests, partitions."""
    done = sqlmesh(project_environment, "lint")

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_column_without_a_comment_is_found(
    project_environment: dict[str, str], tmp_path: Path
) -> None:
    """The house's rule is not one that checks nothing."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy)
    model = copy / "models" / "silver" / "market_bars.sql"
    text = model.read_text()
    model.write_text(text.replace("    high = 'highest price',\n", ""))
    done = sqlmesh(project_environment, "lint", project=copy)

    assert done.returncode != 0
    assert "add a comment to high" in " ".join(done.stdout.split())


def test_the_sql_is_formatted(project_environment: dict[str, str]) -> None:
    """`sqlmesh format` would change nothing."""
    done = sqlmesh(project_environment, "format", "--check")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.integration
@pytest.mark.timeout(300)
def test_the_models_keep_their_unit_tests(servers: Settings, tmp_path: Path) -> None:
    """tests/*.yaml, on Trino's own memory catalog: the SQL of production, not a translation."""
    given = sqlmesh_project.environment(
        servers.model_copy(update={"local": servers.local.model_copy(update={"home": tmp_path})}),
        start="2026-11-24",
    )
    done = sqlmesh(os.environ | given, "test")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully Ran" in done.stdout
