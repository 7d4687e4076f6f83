"""Where the four files of a release are, and how they are read in bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dirtmodel.errors import ReleaseError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TABLES: Final = ("session", "image", "rating", "coordinate")
"""In the order in which they have to be read: what is pointed to comes first."""

WIDE_ROWS: Final = 32
WIDE_BYTES: Final = 16 << 20
"""Rows and bytes of pictures at a time, at most (the bytes on average).

Three times as much is held: one batch is written, one is ready, one is being decoded. In a release
the largest pictures, of 600 KB, lie side by side.
"""

NARROW_ROWS: Final = 16_384

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

    def path(self, table: str) -> Path:
        """Return the file of a table."""
        return self.folder / file_name(table)

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def n_bytes(self) -> int:
        """The size of the file with the pictures."""
        path = self.path("image")
        return path.stat().st_size if path.is_file() else 0

    def file(self, table: str) -> str:
        """Name the file of a table."""
        return file_name(table)

    def absent(self, table: str) -> str | None:
        """Return the path of a table's file if it is not there."""
        return None if self.path(table).is_file() else str(self.path(table))

    def schema(self, table: str) -> "pa.Schema":
        """Return the columns of a file and their physical types."""
        return self._open(table).schema_arrow

    def read(self, table: str, names: list[str]) -> "Iterator[pa.RecordBatch]":
        """Read columns of a file, few rows at a time where pictures are among them."""
        file = self._open(table)
        rows = NARROW_ROWS
        if "img" in names:
            groups = range(file.metadata.num_row_groups)
            n_bytes = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            rows = picture_rows(n_bytes, file.metadata.num_rows)
        n_read = 0
        for batch in file.iter_batches(batch_size=rows, columns=names, use_threads=False):
            n_read += batch.num_rows
            # Asked for `id`, Arrow also returns columns whose names start with `id.`.
            yield batch.select(names)
        if n_read != file.metadata.num_rows:
            # Arrow takes a damaged page header for the end of a column, and says nothing.
            raise OSError(f"damaged: {n_read:,} of {file.metadata.num_rows:,} rows can be read")

    def _open(self, table: str) -> "pq.ParquetFile":
        import pyarrow.parquet as pq

        # Arrow's default holds a whole row group in memory, and a release has but one.
        return pq.ParquetFile(
            self.path(table),
            buffer_size=1 << 20,
            pre_buffer=False,
            memory_map=False,
            page_checksum_verification=True,
        )

    def missing(self) -> list[str]:
        """List the files that are not there."""
        return [file_name(table) for table in TABLES if not self.path(table).is_file()]


def picture_rows(n_bytes: int, n_rows: int) -> int:
    """Return the number of pictures to read at a time, few where they are large.

    >>> picture_rows(2_500_000_000, 100_000), picture_rows(4_000_000_000, 1_000)
    (32, 4)
    """
    mean = n_bytes // max(n_rows, 1)
    return max(1, min(WIDE_ROWS, WIDE_BYTES // max(mean, 1)))


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
        what = "is a file; name the folder that holds it" if path.exists() else "does not exist"
        raise ReleaseError(f"{path} {what}; a release is a folder with {', '.join(_names())}")
    parts = QC_FOLDER.parts
    for depth in range(len(parts), -1, -1):
        folder = path.joinpath(*parts[depth:])
        if any((folder / name).is_file() for name in _names()):
            return ReleaseFiles(folder, _name(folder))
    raise ReleaseError(
        f"no release in {path}: neither it nor {QC_FOLDER} below it holds {', '.join(_names())}"
    )


def _names() -> list[str]:
    return [file_name(table) for table in TABLES]


def _name(folder: Path) -> str:
    depth = len(QC_FOLDER.parts)
    if folder.parts[-depth:] == QC_FOLDER.parts:
        folder = folder.parents[depth - 1]
    return folder.name or str(folder)
