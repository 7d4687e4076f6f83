"""Where the four files of a release are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dirtmodel.errors import ReleaseError

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

    def path(self, table: str) -> Path:
        """Give the file of a table."""
        return self.folder / file_name(table)

    def missing(self) -> list[str]:
        """List the files that are not there."""
        return [file_name(table) for table in TABLES if not self.path(table).is_file()]


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
