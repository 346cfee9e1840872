"""One frozen set of settings: arguments over environment over `ticklake.toml`."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from connectors.errors import TicklakeError
from connectors.settings import KafkaSettings
from flink_jobs.settings import FlinkSettings
from iceberg_catalog.settings import CatalogSettings, MaintainSettings


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticklake"


class LocalSettings(BaseModel):
    """The local stack: folders, loopback ports and memory of its servers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(Path(".ticklake"), description="data, logs and secrets of the local stack")
    cache: Path = Field(default_factory=_cache_home, description="downloaded jars, shared by all")
    maven_url: str = Field("", description="mirror of the Java files; empty: Maven Central")
    postgres_port: int = Field(15432, ge=1, le=65535)
    kafka_port: int = Field(19092, ge=1, le=65535)
    kafka_controller_port: int = Field(19093, ge=1, le=65535)
    flink_port: int = Field(18081, ge=1, le=65535, description="Flink's REST address and web page")
    trino_port: int = Field(18080, ge=1, le=65535)
    kafka_heap_mb: int = Field(512, ge=256)
    jobmanager_mb: int = Field(1024, ge=768, description="process memory of the JobManager")
    taskmanager_mb: int = Field(
        4096, ge=1728, description="process memory of the TaskManager; small ones crawl in GC"
    )
    task_slots: int = Field(
        3, ge=1, description="one a job, one for a replay; managed memory is divided by them"
    )
    trino_heap_mb: int = Field(1024, ge=512)
    fast_start: bool = Field(
        default=True,
        description="keep Java's ahead-of-time caches: halves start-up, takes 350 MB of disk",
    )


class TrinoSettings(BaseModel):
    """The Trino coordinator that queries and models go to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: int = Field(0, ge=0, le=65535, description="0: the local stack's")
    user: str = "ticklake"
    http_scheme: str = "http"


class Settings(BaseSettings):
    """All settings. `TICKLAKE_LOCAL__KAFKA_PORT=29092` sets `local.kafka_port`."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="TICKLAKE_",
        env_nested_delimiter="__",
        toml_file="ticklake.toml",
    )

    local: LocalSettings = LocalSettings()
    kafka: KafkaSettings = KafkaSettings()
    catalog: CatalogSettings = CatalogSettings()
    flink: FlinkSettings = FlinkSettings()
    trino: TrinoSettings = TrinoSettings()
    maintain: MaintainSettings = MaintainSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load(**overrides: Any) -> Settings:  # noqa: ANN401 - any setting, checked by the model
    """Read the settings and fill what was left empty with the local stack's own addresses.

    Raises:
        TicklakeError: a value or a name is not allowed; the message names it.
    """
    try:
        given = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise TicklakeError(
            f"setting {name}: {first['msg']} (found {first['input']!r}); set it by "
            f"TICKLAKE_{name.upper().replace('.', '__')} or in ticklake.toml"
        ) from error
    return _with_local_stack(given)


def password_file(local: LocalSettings) -> Path:
    """Where `ticklake up` keeps the generated password of the local PostgreSQL (mode 0600)."""
    return local.home.resolve() / "secrets" / "postgres-password"


def _with_local_stack(given: Settings) -> Settings:
    local = given.local.model_copy(update={"home": given.local.home.resolve()})
    catalog = given.catalog
    secret = catalog.password
    stored = password_file(local)
    if not secret.get_secret_value() and stored.is_file():
        secret = SecretStr(stored.read_text().strip())
    return given.model_copy(
        update={
            "local": local,
            "kafka": given.kafka.model_copy(
                update={
                    "bootstrap_servers": given.kafka.bootstrap_servers
                    or f"127.0.0.1:{local.kafka_port}"
                }
            ),
            "catalog": catalog.model_copy(
                update={
                    "uri": catalog.uri or f"postgresql://127.0.0.1:{local.postgres_port}/ticklake",
                    "password": secret,
                    "warehouse": catalog.warehouse or (local.home / "warehouse").as_uri(),
                }
            ),
            "flink": given.flink.model_copy(
                update={
                    "rest_address": given.flink.rest_address or f"127.0.0.1:{local.flink_port}",
                    "state_dir": given.flink.state_dir or (local.home / "flink-state").as_uri(),
                }
            ),
            "trino": given.trino.model_copy(update={"port": given.trino.port or local.trino_port}),
        }
    )
