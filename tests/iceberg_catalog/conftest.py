"""The catalogs that the behaviour suite runs over: JDBC on PostgreSQL, and REST."""

from collections.abc import Iterator
from threading import Event

import pytest
from pyiceberg.catalog import Catalog
from rest_catalog import RestCatalog

from iceberg_catalog.catalog import connect
from iceberg_catalog.settings import CatalogSettings
from ticklake.local import postgres, processes
from ticklake.local.ports import any_free
from ticklake.settings import LocalSettings, Settings, load


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a PostgreSQL of its own, on a free port."""
    home = tmp_path_factory.mktemp("catalog")
    settings = load(local=LocalSettings(home=home, postgres_port=any_free()))
    server = postgres.prepare(settings)
    processes.start(server, home)
    try:
        processes.wait_ready(server, home, Event())
        postgres.finish(settings)
        yield load(local=settings.local)
    finally:
        processes.stop(home, server.name, postgres.STOP_SIGNAL)


@pytest.fixture(scope="session")
def rest_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CatalogSettings]:
    """Settings of Apache's reference server, on loopback."""
    server = RestCatalog(tmp_path_factory.mktemp("rest"))
    server.start()
    yield server.settings()
    server.stop()


@pytest.fixture(
    params=["jdbc", pytest.param("rest", marks=[pytest.mark.integration, pytest.mark.timeout(300)])]
)
def catalog_settings(request: pytest.FixtureRequest) -> CatalogSettings:
    """Settings of each kind of catalog."""
    if request.param == "rest":
        found: CatalogSettings = request.getfixturevalue("rest_server")
        return found
    settings: Settings = request.getfixturevalue("database")
    return settings.catalog


@pytest.fixture
def catalog(catalog_settings: CatalogSettings) -> Iterator[Catalog]:
    """An empty catalog; what a test makes is dropped."""
    found = connect(catalog_settings)
    yield found
    for namespace in found.list_namespaces():
        for identifier in found.list_tables(namespace):
            found.drop_table(identifier)
        found.drop_namespace(namespace)
    found.close()
