"""The contracts' columns are those of the tables that they are about."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from iceberg_catalog.tables import table
from ticklake import checks
from ticklake.external_models import trino_type
from ticklake.settings import LocalSettings, load
from ticklake.sqlmesh_project import opened

CONTRACTS = checks.contracts()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, dict[str, str]]]:
    """Columns and Trino types of each SQLMesh model; no server is asked."""
    settings = load(local=LocalSettings(home=tmp_path_factory.mktemp("home")))
    with opened(settings, lambda _: None, start="2026-11-24") as project:
        yield project.columns()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: f"{c.layer}.{c.table}")
def test_columns_are_those_of_the_table(
    contract: checks.Contract, models: dict[str, dict[str, str]]
) -> None:
    """Name, order and type of each column follow the declaration, or the model."""
    content = YAML(typ="safe").load(contract.file)
    if contract.layer == "bronze":
        expected = {c.name: trino_type(c.type) for c in table(contract.table).columns}
    else:
        expected = models[f"{contract.layer}.{contract.table}"]

    assert content["dataset"] == f"ticklake/lake/{contract.layer}/{contract.table}"
    assert [_column(c) for c in content["columns"]] == [
        (name, _plain(kind)) for name, kind in expected.items()
    ]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: f"{c.layer}.{c.table}")
def test_a_contract_refuses_other_columns_and_copies(contract: checks.Contract) -> None:
    """Each checks the schema strictly and that a row is there once."""
    content = YAML(typ="safe").load(contract.file)
    schema = next(c["schema"] for c in content["checks"] if "schema" in c)
    rules = [c["failed_rows"]["qualifier"] for c in content["checks"] if "failed_rows" in c]

    assert schema["allow_extra_columns"] is False
    assert "once" in rules


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda c: f"{c.layer}.{c.table}")
def test_a_catalog_of_another_name_is_put_in(contract: checks.Contract) -> None:
    """No query goes to a catalog called lake where it is called otherwise."""
    settings = load(catalog={"name": "other"})
    text = checks.text(settings, contract)

    assert text.startswith(f"dataset: ticklake/other/{contract.layer}/")
    assert not re.search(r"\blake\.", text)


def _column(column: dict[str, object]) -> tuple[object, object]:
    kind = column["data_type"]
    if kind == "decimal":
        kind = f"decimal({column['numeric_precision']}, {column['numeric_scale']})"
    return column["name"], kind


def _plain(kind: str) -> str:
    """Soda names a timestamp without its digits."""
    return re.sub(r"(timestamp)\(\d\)", r"\1", kind)


def test_every_contract_lies_under_a_layer() -> None:
    """None is in a folder that no run looks at."""
    found = {file.parent.name for file in Path(checks.FOLDER).rglob("*.yml")}

    assert found == set(checks.LAYERS)
