"""Where the broker is and how topics are made there."""

from pydantic import BaseModel, ConfigDict, Field


class KafkaSettings(BaseModel):
    """The broker, and what the topics of this project look like on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bootstrap_servers: str = Field("", description="host:port[,host:port]; empty: the local stack")
    partitions: int = Field(4, ge=1, description="partitions of each new event topic")
    replication: int = Field(1, ge=1, description="replicas of each new topic")
