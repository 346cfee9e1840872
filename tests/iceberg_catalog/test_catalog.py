"""Connecting to a catalog: the password stays inside, faults are one sentence."""

from contextlib import closing

import pytest
from pydantic import SecretStr

from connectors.errors import TicklakeError, UnavailableError
from iceberg_catalog.catalog import connect
from iceberg_catalog.settings import CatalogSettings
from ticklake.local.ports import any_free
from ticklake.settings import Settings

SECRET = "hunter2-does-not-show"  # noqa: S105 - made up


def test_the_password_is_not_among_the_properties(database: Settings) -> None:
    """Properties travel into every table and its file IO."""
    secret = database.catalog.password.get_secret_value()

    with closing(connect(database.catalog)) as found:
        properties = str(found.properties)

    assert secret
    assert secret not in properties


@pytest.mark.parametrize("kind", ["jdbc", "rest"])
def test_a_catalog_that_does_not_answer(kind: str) -> None:
    """Exit code 3, with the address and the way out, without the password."""
    scheme = "postgresql" if kind == "jdbc" else "http"
    settings = CatalogSettings.model_validate(
        {
            "kind": kind,
            "uri": f"{scheme}://127.0.0.1:{any_free()}/lake",
            "password": SECRET,
        }
    )

    with pytest.raises(UnavailableError, match="does not answer") as caught:
        connect(settings)

    assert "ticklake up" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_wrong_password_is_one_sentence(database: Settings) -> None:
    """PostgreSQL's own reason, without the password."""
    wrong = database.catalog.model_copy(update={"password": SecretStr(SECRET)})

    with pytest.raises(UnavailableError, match="password authentication failed") as caught:
        connect(wrong)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mysql://127.0.0.1/lake", f"postgresql://me:{SECRET}@127.0.0.1/lake", "nonsense"]
)
def test_an_address_of_another_kind_is_refused(uri: str) -> None:
    """Another database, a password in the address, or no address at all."""
    with pytest.raises(TicklakeError, match="postgresql://host:port/database") as caught:
        connect(CatalogSettings(uri=uri))

    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 2
