"""Connect to the Iceberg catalog that the settings name."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import RESTError
from requests.exceptions import RequestException
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from connectors.errors import TicklakeError, UnavailableError
from iceberg_catalog.settings import CatalogSettings


def connect(settings: CatalogSettings) -> Catalog:
    """The catalog; its properties and errors never hold the password.

    Raises:
        TicklakeError: the address is not one of this kind of catalog.
        UnavailableError: it does not answer or refuses the user.
    """
    with faults(settings):
        return _rest(settings) if settings.kind == "rest" else _jdbc(settings)


@contextmanager
def faults(settings: CatalogSettings) -> Iterator[None]:
    """Turn a fault of the catalog's server into one sentence.

    Raises:
        UnavailableError: it does not answer, or fails.
    """
    try:
        yield
    except (SQLAlchemyError, RESTError, RequestException) as error:
        raise UnavailableError(
            f"the Iceberg catalog ({settings.kind}) at {_shown(settings.uri)} does not answer: "
            f"{_reason(error)}; start the local stack by `ticklake up`, or set "
            "TICKLAKE_CATALOG__URI, __USER and __PASSWORD"
        ) from error


def _jdbc(settings: CatalogSettings) -> Catalog:
    url = _database(settings)
    catalog = SqlCatalog(
        settings.name,
        uri=url.render_as_string(hide_password=False),
        warehouse=settings.warehouse,
        pool_pre_ping="true",
        # Trino's and Flink's JdbcCatalog keep views in the same tables from version 1 on.
        schema_version="v1",
    )
    # The engine has its own copy; these properties travel into every table, and into its repr.
    catalog.properties["uri"] = url.render_as_string(hide_password=True)
    return catalog


def _rest(settings: CatalogSettings) -> Catalog:
    given = {"uri": settings.uri}
    if settings.warehouse:
        given["warehouse"] = settings.warehouse
    if secret := settings.password.get_secret_value():
        given["credential"] = f"{settings.user}:{secret}"
        given["oauth2-server-uri"] = f"{settings.uri.rstrip('/')}/v1/oauth/tokens"
    return RestCatalog(settings.name, **given)


def _database(settings: CatalogSettings) -> URL:
    try:
        url = make_url(settings.uri)
    except ArgumentError as error:
        raise TicklakeError(
            "catalog.uri is no database address; allowed is postgresql://host:port/database"
        ) from error
    if url.get_backend_name() != "postgresql" or url.password:
        raise TicklakeError(
            f"catalog.uri {_shown(settings.uri)} is not allowed; a jdbc catalog needs "
            "postgresql://host:port/database, with user and password in catalog.user and .password"
        )
    secret = settings.password.get_secret_value()
    return url.set(
        drivername="postgresql+psycopg",
        username=url.username or settings.user,
        password=secret or None,
        query={"connect_timeout": "10", **url.query},
    )


def _shown(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def _reason(error: Exception) -> str:
    """The innermost cause's first line."""
    cause: BaseException = error
    while (deeper := getattr(cause, "orig", None) or cause.__cause__) is not None:
        cause = deeper
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]
