"""Finding the four files of a release, and reading them in bounded memory."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dirtmodel.errors import ReleaseError, shortage
from dirtmodel.release import foreign, memory
from dirtmodel.release.parts import Part, parts_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLES: Final = ("session", "image", "rating", "coordinate")
"""The tables in reading order: a table comes after those that it refers to."""

QC_FOLDER: Final = Path("pre-surgery", "mris", "derivatives", "qc")


def file_name(table: str) -> str:
    """Return the name of a table's file.

    >>> file_name("rating")
    'rating.parquet'
    """
    return f"{table}.parquet"


@dataclass(frozen=True)
class ReleaseFiles:
    """A release on disk.

    Parameters
    ----------
    folder
        The folder that contains the four files.
    name
        The name of the release: the name of the folder above the documented layout.
    """

    folder: Path
    name: str
    _needs: dict[Path, memory.Needs] = field(default_factory=dict, repr=False, compare=False)

    def path(self, table: str) -> Path:
        """Return the file of a table, or the folder of its parts."""
        return self.folder / file_name(table)

    def paths(self, table: str) -> list[Path]:
        """Return the file of a table, or all files of its folder, in a fixed order."""
        path = self.path(table)
        below = path.rglob("*") if path.is_dir() else [path]
        return sorted(file for file in below if file.is_file())

    @property
    def place(self) -> str:
        """The path of the folder."""
        return str(self.folder)

    @property
    def n_bytes(self) -> int:
        """The size of the file of images, in bytes."""
        return sum(path.stat().st_size for path in self.paths("image"))

    def file(self, table: str) -> str:
        """Return the name of a table's file."""
        return file_name(table)

    def absent(self, table: str) -> str | None:
        """Describe a missing file: its path, and any similar file; None if it exists."""
        path = self.path(table)
        return None if path.exists() else foreign.describe_absent(path)

    def row(self, table: str, number: int, id_: int | None) -> str:  # noqa: ARG002 - the signature is that of Source
        """Return the file of a row and the row's number in it, for messages."""
        for part in self._parts(table):
            n_rows = self._needs_of(part).n_rows
            if number <= n_rows:
                return f"{part.path.relative_to(self.folder)} row {number}"
            number -= n_rows
        raise AssertionError("no file has a row of this number")

    def n_bytes_held(self, table: str) -> int:
        """Check all sizes that the files declare, and return the bytes held while reading them."""
        return max((self._needs_of(part).n_bytes for part in self._parts(table)), default=0)

    def _needs_of(self, part: Part) -> memory.Needs:
        if part.path not in self._needs:
            with self._naming(part):
                self._needs[part.path] = memory.needs(part.path, self._open(part))
        return self._needs[part.path]

    def schema(self, table: str) -> "pa.Schema":
        """Return the columns of a table and their physical types."""
        import pyarrow as pa

        schemas = []
        for part in self._parts(table):
            with self._naming(part):
                schemas.append(part.schema(self._open(part)))
        if not schemas:
            raise OSError("the folder contains no parquet files; copy it again")
        if len(schemas) == 1:
            return schemas[0]
        return pa.unify_schemas(schemas, promote_options="permissive")

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns of a table in batches; a batch with pictures has few rows."""
        for part in self._parts(table):
            with self._naming(part):
                yield from self._read(part, names)

    def _read(self, part: Part, names: list[str]) -> "Iterator[pa.RecordBatch]":
        file = self._open(part)
        n_read = 0
        present = [name for name in names if name in file.schema_arrow.names]
        for batch in memory.read(part.path, file, present, self._needs_of(part).streamed):
            n_read += batch.num_rows
            # For the name `id`, Arrow also returns columns whose names start with `id.`.
            yield part.completed(batch, names)
        if n_read != file.metadata.num_rows:
            # Arrow takes a damaged page header for the end of a column, without an error.
            raise OSError(f"damaged: {n_read:,} of {file.metadata.num_rows:,} rows can be read")

    def _parts(self, table: str) -> list[Part]:
        return parts_of(self.path(table))

    def _open(self, part: Part) -> "pq.ParquetFile":
        import pyarrow as pa

        try:
            return part.open()
        except (OSError, pa.ArrowException) as error:
            if shortage(error) or (what := foreign.describe(part.path)) is None:
                raise
            raise OSError(what) from error

    @contextlib.contextmanager
    def _naming(self, part: Part) -> Iterator[None]:
        """Add the file's name to an error about one of several files of a table."""
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            from_system = isinstance(error, OSError) and error.errno is not None
            if part.path.parent == self.folder or from_system or shortage(error):
                raise
            raise OSError(f"{part.path.name}: {error}") from error


def find(path: Path) -> ReleaseFiles:
    """Find the release in a folder: the `qc` folder itself, or any folder above it in the layout.

    One of the four files is enough to find it; the check reports the files that are missing.

    Raises
    ------
    ReleaseError
        If the folder does not exist, or contains none of the four files.
    """
    path = path.absolute()
    if not path.is_dir():
        raise ReleaseError(
            f"{path} {_why_not_folder(path)}; a release is a folder with {', '.join(_names())}"
        )
    parts = QC_FOLDER.parts
    for depth in range(len(parts), -1, -1):
        folder = path.joinpath(*parts[depth:])
        if any(os.path.lexists(folder / name) for name in _names_and_packed()):
            return ReleaseFiles(folder, _name(folder))
    raise ReleaseError(
        f"no release in {path}: neither it nor {QC_FOLDER} below it contains {', '.join(_names())}"
    )


def _why_not_folder(path: Path) -> str:
    if not path.exists():
        return "does not exist"
    what = foreign.describe(path)
    if path.name in _names() or what is None:
        return "is a file; use the path of the folder that contains it"
    return f"is a file: {what}, and use the path of the folder"


def _names() -> list[str]:
    return [file_name(table) for table in TABLES]


def _names_and_packed() -> list[str]:
    return [name + suffix for name in _names() for suffix in ("", *foreign.COMPRESSED)]


def _name(folder: Path) -> str:
    depth = len(QC_FOLDER.parts)
    if folder.parts[-depth:] == QC_FOLDER.parts:
        folder = folder.parents[depth - 1]
    return folder.name or str(folder)
