"""Where the Iceberg catalog is."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


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
