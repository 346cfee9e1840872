"""How jobs run, on the local cluster or on any other."""

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from connectors.settings import KafkaSettings
from iceberg_catalog.settings import CatalogSettings


class FlinkSettings(BaseModel):
    """The cluster, and what holds for every job on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rest_address: str = Field("", description="host:port of the JobManager; empty: the local stack")
    state_dir: str = Field(
        "", description="URI for checkpoints and savepoints; empty: the local stack's"
    )
    parallelism: int = Field(1, ge=1, description="parallelism of each job")
    checkpoint_seconds: float = Field(
        5, gt=0, description="checkpoint and commit interval, seconds"
    )
    watermark_delay_seconds: float = Field(
        2, ge=0, description="how far behind the newest event time the watermark stays, seconds"
    )
    future_tolerance_seconds: float = Field(
        5, ge=0, description="how far an event time may be ahead of the broker's append time"
    )
    dedup_hours: float = Field(1, gt=0, description="how long an event id is remembered, hours")
    dedup_ids: int = Field(
        16_000_000,
        gt=0,
        description="ids above which the oldest are forgotten early, where a later copy is late",
    )


class JobSettings(BaseSettings):
    """What a job needs to know; on any cluster from the environment, by the names of all settings.

    `TICKLAKE_KAFKA__BOOTSTRAP_SERVERS=broker:9092` sets `kafka.bootstrap_servers`.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_prefix="TICKLAKE_", env_nested_delimiter="__"
    )

    kafka: KafkaSettings = KafkaSettings()
    catalog: CatalogSettings = CatalogSettings()
    flink: FlinkSettings = FlinkSettings()
