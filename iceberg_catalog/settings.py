"""Where the Iceberg catalog is, and what maintenance keeps."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator


class CatalogSettings(BaseModel):
    """The Iceberg catalog that Flink, Trino, PyIceberg and DuckDB share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["jdbc", "rest"] = Field("jdbc", description="jdbc (PostgreSQL) or rest")
    name: str = Field("lake", description="catalog name, the same in every engine")
    uri: str = Field(
        "", description="postgresql://host:port/database or http(s)://...; empty: the local stack"
    )
    user: str = Field("ticklake", description="user of the JDBC catalog's database")
    password: SecretStr = Field(
        SecretStr(""), description="its password; empty: the local stack's own"
    )
    warehouse: str = Field("", description="root of the tables' files; empty: the local stack's")


class MaintainSettings(BaseModel):
    """What `ticklake maintain` keeps, and from when on it does something."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    small_file_mb: int = Field(128, ge=1, description="files below it are compacted, MiB")
    target_file_mb: int = Field(512, ge=1, description="compacted files are at most about it, MiB")
    small_files: int = Field(20, ge=2, description="a partition with as many is compacted")
    manifests: int = Field(50, ge=2, description="from as many on, manifests are rewritten")
    snapshot_hours: float = Field(
        1, ge=0, description="snapshots without a tag stay as long; more than the longest query"
    )
    hourly_tag_hours: int = Field(48, ge=0, description="age of the tags hour-2026-11-24T05")
    daily_tag_days: int = Field(90, ge=0, description="age of the tags day-2026-11-24")
    recovery_hours: float = Field(
        168, gt=0, description="a stopped job may be started from its state that long"
    )
    orphan_hours: float = Field(
        240, ge=24, description="unreferenced files older than that go; above recovery_hours"
    )

    @field_validator("orphan_hours")
    @classmethod
    def _above_recovery(cls, value: float, info: ValidationInfo) -> float:
        """A state that may still be started from refers to files that are not committed yet."""
        recovery = info.data.get("recovery_hours", 0)
        if value <= recovery:
            raise ValueError(f"must be above maintain.recovery_hours, which is {recovery:g}")
        return value
