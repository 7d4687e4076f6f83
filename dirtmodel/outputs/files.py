"""Files that take their name only when they are complete."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from dirtmodel.errors import OutputError

_SQLITE_MAGIC: Final = b"SQLite format 3\0"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another place with -o"
        ) from error


@contextlib.contextmanager
def destination(path: Path, *, follow: bool = True) -> Iterator[IO[bytes]]:
    """Open a file that takes its name only when it is complete.

    A link stays one, and a device or a pipe is written to as it is.

    Parameters
    ----------
    follow
        With False, what is written takes the place of a link, a device or a pipe: nothing outside
        of the folder is touched.

    Raises
    ------
    OutputError
        When it cannot be written; what was there before is still there.
    """
    path = Path(os.path.realpath(path)) if follow else path
    _spare_databases(path)
    if follow and path.exists() and not path.is_file():
        with _unwritable(path, "choose another place with -o"), path.open("wb") as file:
            yield file
        return
    try:
        # Not by tempfile, whose files are their owner's alone; and who asks for the usual rights
        # has to change those of the whole process for a moment.
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror}; choose another place with -o"
        ) from error
    try:
        with _unwritable(path, "the existing file is left unchanged"):
            with os.fdopen(handle, "wb") as file:
                yield file
            if path.exists():
                partial.chmod(path.stat().st_mode & 0o777)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _spare_databases(path: Path) -> None:
    """No result is worth a database, whose path is easily typed for -o instead of --db."""
    if not path.is_file():
        return
    with _unwritable(path, "choose another place with -o"), path.open("rb") as file:
        start = file.read(len(_SQLITE_MAGIC))
    if start == _SQLITE_MAGIC:
        raise OutputError(
            f"{path} is a SQLite database and will not be overwritten; choose another place with -o"
        )


@contextlib.contextmanager
def _unwritable(place: Path | str, then: str) -> Iterator[None]:
    """Turn what the system says against writing into our error; a reader that left is not one."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {place}: {error.strerror}; {then}") from error
