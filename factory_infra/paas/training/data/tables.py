"""The table of datasets' versions."""

from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import BigInteger, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from factory_infra.database import Base, utcnow


class DatasetVersionRow(Base):
    """A version of a team's dataset. Rows are added, never changed."""

    __tablename__ = "dataset_versions"

    tenant: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(String(64))
    format: Mapped[str] = mapped_column(String(16))
    rows: Mapped[int]
    columns: Mapped[list[JsonValue]] = mapped_column(JSONB)
    bytes: Mapped[int] = mapped_column(BigInteger)
    description: Mapped[str] = mapped_column(String(400), default="")
    file: Mapped[str] = mapped_column(String(255))
    blocks: Mapped[list[str]]
    created_by: Mapped[str] = mapped_column(String(128))
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
