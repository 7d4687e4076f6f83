"""Where the four files of a release are, and how they are read in bounded memory."""

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
"""In the order in which they have to be read: what is pointed to comes first."""

QC_FOLDER: Final = Path("pre-surgery", "mris", "derivatives", "qc")


def file_name(table: str) -> str:
    """Name the file of a table.

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
        The folder that holds the four files.
    name
        The release's own name: that of the folder above the documented layout.
    """

    folder: Path
    name: str
    _needs: dict[Path, memory.Needs] = field(default_factory=dict, repr=False, compare=False)

    def path(self, table: str) -> Path:
        """Return the file of a table, or the folder of its parts."""
        return self.folder / file_name(table)

    def paths(self, table: str) -> list[Path]:
        """Return the file of a table, or all files of a folder in its place, in a fixed order."""
        path = self.path(table)
        below = path.rglob("*") if path.is_dir() else [path]
        return sorted(file for file in below if file.is_file())

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def n_bytes(self) -> int:
        """The size of the file with the pictures."""
        return sum(path.stat().st_size for path in self.paths("image"))

    def file(self, table: str) -> str:
        """Name the file of a table."""
        return file_name(table)

    def absent(self, table: str) -> str | None:
        """Return the path of a table's file, and what is there instead, if it is not there."""
        path = self.path(table)
        return None if path.exists() else foreign.describe_absent(path)

    def row(self, table: str, number: int, id_: int | None) -> str:  # noqa: ARG002 - the signature is that of Source
        """Name a row by its number in its file."""
        for part in self._parts(table):
            n_rows = self._needs_of(part).n_rows
            if number <= n_rows:
                return f"{part.path.relative_to(self.folder)} row {number}"
            number -= n_rows
        raise AssertionError("no file has a row of this number")

    def n_bytes_held(self, table: str) -> int:
        """Compare all sizes that the files declare, and return what reading them holds at once."""
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
            raise OSError("the folder holds no parquet files; copy it again")
        if len(schemas) == 1:
            return schemas[0]
        return pa.unify_schemas(schemas, promote_options="permissive")

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns of a table, few rows at a time where pictures are among them."""
        for part in self._parts(table):
            with self._naming(part):
                yield from self._read(part, names)

    def _read(self, part: Part, names: list[str]) -> "Iterator[pa.RecordBatch]":
        file = self._open(part)
        n_read = 0
        present = [name for name in names if name in file.schema_arrow.names]
        for batch in memory.read(part.path, file, present, self._needs_of(part).streamed):
            n_read += batch.num_rows
            # Asked for `id`, Arrow also returns columns whose names start with `id.`.
            yield part.completed(batch, names)
        if n_read != file.metadata.num_rows:
            # Arrow takes a damaged page header for the end of a column, and says nothing.
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
        """Name the file of a folder that cannot be read."""
        import pyarrow as pa

        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            is_systems = isinstance(error, OSError) and error.errno is not None
            if part.path.parent == self.folder or is_systems or shortage(error):
                raise
            raise OSError(f"{part.path.name}: {error}") from error


def find(path: Path) -> ReleaseFiles:
    """Find the release in a folder: the `qc` folder itself, or any above it in the layout.

    A folder in which some of the four files are missing is found too; the check tells which.

    Raises
    ------
    ReleaseError
        When there is no such folder, or none of the four files below it.
    """
    path = path.absolute()
    if not path.is_dir():
        raise ReleaseError(
            f"{path} {_what(path)}; a release is a folder with {', '.join(_names())}"
        )
    parts = QC_FOLDER.parts
    for depth in range(len(parts), -1, -1):
        folder = path.joinpath(*parts[depth:])
        if any(os.path.lexists(folder / name) for name in _names_and_packed()):
            return ReleaseFiles(folder, _name(folder))
    raise ReleaseError(
        f"no release in {path}: neither it nor {QC_FOLDER} below it holds {', '.join(_names())}"
    )


def _what(path: Path) -> str:
    """Describe what stands where a folder is expected."""
    if not path.exists():
        return "does not exist"
    what = foreign.describe(path)
    if path.name in _names() or what is None:
        return "is a file; name the folder that holds it"
    return f"is a file: {what}, and name the folder"


def _names() -> list[str]:
    return [file_name(table) for table in TABLES]


def _names_and_packed() -> list[str]:
    return [name + suffix for name in _names() for suffix in ("", *foreign.COMPRESSED)]


def _name(folder: Path) -> str:
    depth = len(QC_FOLDER.parts)
    if folder.parts[-depth:] == QC_FOLDER.parts:
        folder = folder.parents[depth - 1]
    return folder.name or str(folder)
