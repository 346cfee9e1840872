"""The same job with its tables in a REST catalog, beside the stack's own, for a while."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faulty_stack import JOB, Lake
from pyiceberg.catalog import Catalog
from rest_catalog import RestCatalog
from rest_proxy import RestProxy

from connectors.errors import TicklakeError
from flink_jobs.cluster import Cluster
from flink_jobs.settings import JobSettings
from iceberg_catalog import apply as lake
from iceberg_catalog.catalog import connect
from iceberg_catalog.tables import tables


class RestLake(Lake):
    """The stack, with another catalog and another place for state."""

    def __init__(
        self, base: Lake, catalog: Catalog, server: RestCatalog, rest: RestProxy, state_dir: str
    ) -> None:
        """The server runs and has its tables."""
        super().__init__(base.settings, base.proxy, catalog, base.disks)
        self.rest = rest
        self.server = server
        self._state_dir = state_dir

    def cluster(self, parallelism: int = 1) -> Cluster:
        """Flink, for a job that meets the REST catalog through the proxy."""
        changed = {"parallelism": parallelism, "state_dir": self._state_dir}
        return Cluster(
            JobSettings(
                kafka=self.settings.kafka,
                catalog=self.server.settings(self.rest.port),
                flink=self.settings.flink.model_copy(update=changed),
            )
        )


@contextmanager
def on_rest(base: Lake) -> Iterator[RestLake]:
    """The stack's job is stopped; one on a REST catalog has read all topics. Then it goes too."""
    base.cluster().stop(JOB, savepoint=True)
    with tempfile.TemporaryDirectory(prefix="ticklake-rest-") as name:
        folder = Path(name)
        server = RestCatalog(folder)
        server.start()
        try:
            with connect(server.settings()) as catalog, RestProxy(server.port) as proxy:
                lake.apply(catalog, tables(), lake.plan(catalog, tables()))
                found = RestLake(base, catalog, server, proxy, (folder / "state").as_uri())
                found.submit()
                found.await_receipts()
                yield found
                with suppress(TicklakeError):  # it does not run
                    found.cluster().stop(JOB, savepoint=False)
        finally:
            server.stop()
