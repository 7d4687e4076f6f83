"""The files of one table: one file, or a folder of several files (parts).

Spark, Polars and others write a table as a folder of files. The name of a subfolder may contain the
value of a column (`step=3/part-0.parquet`).
"""

import os
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dirtmodel.release import pages

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_SUFFIXES: Final = (".parquet", ".parq", ".pq")

_VERSIONED: Final = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
"""Subfolders that mark a table in a format which also keeps files of earlier versions."""

_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Part:
    """A parquet file with all or some rows of a table.

    Parameters
    ----------
    values
        The values of columns that are in the names of subfolders; None is NULL.
    """

    path: Path
    values: Mapping[str, str | None] = field(default_factory=dict)

    def open(self) -> "pq.ParquetFile":
        """Open the file with settings that limit the memory for reading it."""
        import pyarrow.parquet as pq

        # No string or list in the footer can be longer than the footer itself.
        limit = max(pages.footer_length(self.path), 1)
        # By default, Arrow would hold a whole row group in memory, which is the whole file.
        return pq.ParquetFile(
            self.path,
            buffer_size=1 << 20,
            pre_buffer=False,
            memory_map=False,
            page_checksum_verification=True,
            thrift_string_size_limit=limit,
            thrift_container_size_limit=limit,
        )

    def schema(self, file: "pq.ParquetFile") -> "pa.Schema":
        """Return the columns of the opened file and those of the subfolders' names."""
        import pyarrow as pa

        schema = file.schema_arrow
        for name in self.values:
            if name not in schema.names:
                schema = schema.append(pa.field(name, pa.large_string()))
        return schema

    def completed(self, batch: "pa.RecordBatch", names: list[str]) -> "pa.RecordBatch":
        """Return these columns of a batch; those that the file lacks are added."""
        import pyarrow as pa

        arrays = [
            batch.column(name)
            if name in batch.schema.names
            else pa.repeat(pa.scalar(self.values[name], pa.large_string()), len(batch))
            if name in self.values
            else pa.nulls(len(batch))
            for name in names
        ]
        return pa.RecordBatch.from_arrays(arrays, names=names)


def parts_of(path: Path) -> list[Part]:
    """Return the files of a table in the order of their paths; empty if the path does not exist.

    Raises
    ------
    OSError
        If a folder contains anything but files of one table.
    """
    if not path.is_dir():
        return [Part(path)] if path.exists() else []
    for name, format_ in _VERSIONED.items():
        if (path / name).is_dir():
            raise OSError(
                f"it is a table of {format_}, which also keeps earlier versions; write the current "
                "version as parquet"
            )
    parts = []
    for folder, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            if name.startswith((".", "_")):
                continue
            file = Path(folder, name)
            below = file.relative_to(path)
            if not name.endswith(_SUFFIXES):
                raise OSError(
                    f"the folder contains {below}, whose name does not end in .parquet; rename or "
                    "remove it"
                )
            if not _is_utf8(below):
                # Arrow could not open it.
                raise OSError(f"the path {str(below)!r} in the folder is not UTF-8 text; rename it")
            parts.append(Part(file, _values(below.parent)))
    return sorted(parts, key=lambda part: part.path.parts)


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _values(folder: Path) -> dict[str, str | None]:
    pairs = (part.split("=", 1) for part in folder.parts if "=" in part)
    return {
        urllib.parse.unquote(name): None if value == _NO_VALUE else urllib.parse.unquote(value)
        for name, value in pairs
    }
