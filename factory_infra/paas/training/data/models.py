"""What a team's dataset is: versions that never change, each named by the digest of its bytes."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,39}$"
BYTES_MAX = 64 * 1024 * 1024
"""Of one version. A job's folder takes no more either."""
ROWS_MAX = 2_000_000
COLUMNS_MAX = 2_000
CELLS_MAX = 20_000_000
PART_BYTES_MAX = 700_000
"""Of one part of an upload: as base64 it fits into a request."""
PARTS_MAX = 128

Format = Literal["csv", "parquet"]


class Column(BaseModel):
    """One column as it was read."""

    name: str
    kind: Literal["number", "text"]
    gaps: int = Field(description="Rows that have nothing here.")


class Table(BaseModel):
    """What a file holds."""

    rows: int
    columns: list[Column]


class DatasetVersion(BaseModel):
    """One version: it never changes, and its bytes are checked at each use."""

    model_config = ConfigDict(from_attributes=True)

    tenant: str
    name: str
    version: int
    digest: str = Field(description="SHA-256 of the file's bytes.")
    format: Format
    rows: int
    columns: list[Column]
    bytes: int
    description: str
    file: str = Field(description="Where it lies, below the folder of datasets.")
    created_by: str
    created_at: datetime

    @property
    def title(self) -> str:
        """NAME@VERSION."""
        return f"{self.name}@{self.version}"
