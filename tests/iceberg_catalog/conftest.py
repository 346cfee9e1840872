"""The catalogs that the behaviour suite runs over: JDBC on PostgreSQL, and REST."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from pyiceberg.catalog import Catalog

from iceberg_catalog.catalog import connect
from iceberg_catalog.settings import CatalogSettings
from ticklake.local import jars, java, jvm, postgres, processes
from ticklake.local.ports import answers, any_free
from ticklake.settings import LocalSettings, Settings, load

SOURCES = Path(__file__).parents[1] / "java"


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
    folder, port, local = tmp_path_factory.mktemp("rest"), any_free(), LocalSettings()
    files = jars.ensure(local, "rest", "compiler")
    jar = java.build_jar(SOURCES, files["rest"], folder / "main.jar", compiler=files["compiler"])
    classpath = os.pathsep.join(str(path) for path in (jar, *files["rest"]))
    command = [jvm.java(), "-Xmx256m", "-cp", classpath, "LoopbackRestCatalog", str(port), folder]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not answers(port):
            assert process.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            time.sleep(0.1)
        yield CatalogSettings(
            kind="rest", uri=f"http://127.0.0.1:{port}", warehouse=f"file://{folder}/warehouse"
        )
    finally:
        process.terminate()
        process.wait(20)


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
