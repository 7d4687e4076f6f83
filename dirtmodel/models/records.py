"""Records of what was loaded: the release, its files, findings and rejected rows."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from dirtmodel.models.types import Base, BigInt, PrimaryKey


class Release(Base):
    """What was loaded; a database holds one release."""

    __tablename__ = "release"
    __table_args__ = ({"comment": "what was loaded; a database holds one release"},)

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="always 1")
    label: orm.Mapped[str] = orm.mapped_column(comment="the release's name")
    source: orm.Mapped[str] = orm.mapped_column(comment="where it was loaded from")
    loaded_at: orm.Mapped[dt.datetime] = orm.mapped_column(comment="when it was loaded, UTC")
    dirtmodel_version: orm.Mapped[str] = orm.mapped_column(
        comment="version of dirtmodel that loaded it"
    )

    def __repr__(self) -> str:
        return f"<Release {self.label} from {self.source}>"


class ReleaseFile(Base):
    """One file of the release as it was loaded."""

    __tablename__ = "release_file"
    __table_args__ = ({"comment": "the files of the release as they were loaded"},)

    name: orm.Mapped[str] = orm.mapped_column(primary_key=True, comment="file name")
    n_rows: orm.Mapped[int] = orm.mapped_column(BigInt, comment="rows, without the empty ones")
    n_empty_rows: orm.Mapped[int] = orm.mapped_column(
        BigInt, comment="rows that were NULL in every column, which were dropped"
    )
    n_bytes: orm.Mapped[int] = orm.mapped_column(BigInt, comment="size of the file")
    sha256: orm.Mapped[str] = orm.mapped_column(comment="SHA-256 of the file, hexadecimal")

    def __repr__(self) -> str:
        return f"<ReleaseFile {self.name}: {self.n_rows} rows>"


class Finding(Base):
    """One finding of the check that was made when the release was loaded."""

    __tablename__ = "finding"
    __table_args__ = (
        sa.CheckConstraint("severity IN ('error', 'warning')", "severity"),
        {"comment": "findings of the check that was made when the release was loaded"},
    )

    id: orm.Mapped[PrimaryKey] = orm.mapped_column(comment="position in the report")
    code: orm.Mapped[str] = orm.mapped_column(comment="kind of the finding")
    severity: orm.Mapped[str] = orm.mapped_column(comment="error or warning")
    file: orm.Mapped[str] = orm.mapped_column(comment="the file it was found in")
    message: orm.Mapped[str] = orm.mapped_column(comment="description of the finding")
    n: orm.Mapped[int] = orm.mapped_column(BigInt, comment="how many rows, columns or files")
    examples: orm.Mapped[Sequence[str]] = orm.mapped_column(
        sa.JSON(none_as_null=True), comment="up to five examples, JSON"
    )

    def __repr__(self) -> str:
        return f"<Finding {self.severity} {self.code} in {self.file}: {self.n}>"


class Quarantine(Base):
    """A row of the release that could not be loaded, kept whole."""

    __tablename__ = "quarantine"
    __table_args__ = ({"comment": "rows of the release that could not be loaded, kept whole"},)

    table: orm.Mapped[str] = orm.mapped_column(primary_key=True, comment="the table it belongs to")
    file_row: orm.Mapped[int] = orm.mapped_column(
        BigInt, primary_key=True, autoincrement=False, comment="its row in the file, from 1"
    )
    id: orm.Mapped[int | None] = orm.mapped_column(BigInt, comment="its id, if it has one")
    code: orm.Mapped[str] = orm.mapped_column(comment="kind of the finding about it")
    reason: orm.Mapped[str] = orm.mapped_column(comment="what is wrong with it")
    row: orm.Mapped[dict[str, Any]] = orm.mapped_column(
        sa.JSON(none_as_null=True), comment="the row as JSON; bytes in base64"
    )

    def __repr__(self) -> str:
        return f"<Quarantine {self.table} row {self.file_row}: {self.code}>"
