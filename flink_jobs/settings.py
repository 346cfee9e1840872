"""How jobs run, on the local cluster or on any other."""

from pydantic import BaseModel, ConfigDict, Field


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
